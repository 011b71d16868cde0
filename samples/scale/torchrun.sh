#!/usr/bin/env bash
# Two machines over a shared folder; on each: NODE=0 (on the other 1) HEAD=host0 torchrun.sh SPEC FOLDER PROCESSES
# The machine with NODE=0 is HEAD: it judges, writes and prints.
set -euo pipefail
spec=$1 folder=$2 processes=$3

code=0
torchrun --nnodes 2 --node-rank "$NODE" --nproc-per-node "$processes" \
    --master-addr "$HEAD" --master-port "${PORT:-29500}" \
    -m evalkit run "$spec" --resume --rank-timeout 600 -o "$folder" || code=$?

# torchrun makes every code but 0 a 1; which one it was, the verdict says.
if [ "$code" -ne 0 ] && [ "$NODE" -eq 0 ]; then
    evalkit gate "$folder" || code=$?
fi
exit "$code"
