#!/usr/bin/env bash
# submit with: sbatch --nodes=2 --gpus-per-node=4 --requeue samples/scale/slurm-torchrun.sh samples/digits/eval.yaml out/ranks
#SBATCH --job-name=evalkit
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
set -euo pipefail
spec=$1 folder=$2

# One torchrun a node, which starts one rank a GPU. A job that is requeued goes on where it was, on any nodes.
nodes=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes%%$'\n'*}
code=0
srun torchrun --nnodes "$SLURM_JOB_NUM_NODES" --nproc-per-node "${SLURM_GPUS_ON_NODE:-2}" \
    --rdzv-backend c10d --rdzv-endpoint "$head:29500" --rdzv-id "$SLURM_JOB_ID" \
    -m evalkit run "$spec" --resume -o "$folder" || code=$?

# torchrun makes every code but 0 a 1; which one it was, the verdict says.
if [ "$code" -ne 0 ]; then
    evalkit gate "$folder" || code=$?
fi
exit "$code"
