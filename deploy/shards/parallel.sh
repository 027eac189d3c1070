#!/bin/bash
# Many images on machines that share a folder, by GNU parallel: deploy/shards/parallel.sh model.zip images results 8
# With --sshlogin in PARALLEL it reaches other machines: PARALLEL='--sshlogin one,two' deploy/shards/parallel.sh ...
# Repeat the command where a share failed: shares that are done are left alone.
set -euo pipefail
model=$1 images=$2 results=$3 shares=$4
seq "$shares" | parallel --halt soon,fail=1 "[ -e '$results'/{}/shard.json ] || anomalib-lite predict '$model' \
    '$images' --shard {}/$shares --out '$results'/{} --overwrite --workers 1 --threads 1"
exec anomalib-lite merge "$results"/* --out "$results.all" --overwrite
