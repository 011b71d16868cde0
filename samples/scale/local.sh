#!/usr/bin/env bash
# Shards side by side on one machine, then merged: local.sh SPEC FOLDER N
set -euo pipefail
spec=$1 folder=$2 n=$3

pids=()
for i in $(seq "$n"); do
    evalkit run "$spec" --shard "$i/$n" --resume --quiet -o "$folder/shard-$i" &
    pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid"; done

evalkit merge "$folder"/shard-* -o "$folder/merged"
