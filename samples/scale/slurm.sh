#!/usr/bin/env bash
# submit with: sbatch --array=1-8 --requeue samples/scale/slurm.sh samples/digits/eval.yaml out/shards
# then:        sbatch --dependency=afterok:JOB samples/scale/slurm.sh samples/digits/eval.yaml out/shards merge
#SBATCH --job-name=evalkit
#SBATCH --cpus-per-task=4
#SBATCH --signal=TERM@30
set -euo pipefail
spec=$1 folder=$2

if [ "${3:-}" = merge ]; then
    exec evalkit merge "$folder"/shard-* -o "$folder/merged"
fi
# A job that is preempted or requeued goes on where it was.
shard=$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT
exec evalkit run "$spec" --shard "$shard" --resume --quiet -o "$folder/shard-$SLURM_ARRAY_TASK_ID"
