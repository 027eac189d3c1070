#!/bin/bash
# Many images on a Slurm cluster: each task of the array judges one share.
#
#   sbatch --array=1-100 deploy/shards/slurm.sh model.zip images results
#   anomalib-lite merge results/* --out all        # once all tasks are done
#
# A task that failed is submitted again by its number (--array=17): shares that are done are left alone. Give the
# number of shares with SHARES then: sbatch --export=ALL,SHARES=100 --array=17 ...
#SBATCH --job-name=inspect
#SBATCH --cpus-per-task=4
#SBATCH --mem=4G
set -euo pipefail
model=$1 images=$2 results=$3
share=$SLURM_ARRAY_TASK_ID
[[ -e $results/$share/shard.json ]] && exit 0
exec anomalib-lite predict "$model" "$images" --shard "$share/${SHARES:-$SLURM_ARRAY_TASK_COUNT}" \
    --out "$results/$share" --overwrite
