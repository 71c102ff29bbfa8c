#!/usr/bin/env bash
# An example: a bank is built by a Slurm cluster. The plan, the shards and the bank are in a folder that all nodes see.
#
#     deploy/slurm/build.sh CORPUS FOLDER SHARDS [options of `mempack plan`]
#
# The plan and the merge are one task each; the shards are an array of SHARDS tasks, each on one node. A task that is ended, for example because its node is
# needed, is queued again and goes on with what its shard has. The merge starts when all shards are there. The nodes must compute alike: a node whose results
# differ from the plan's is refused. With different nodes, add `--constraint` to all three.
set -euo pipefail
corpus=$1 folder=$2 shards=$3
shift 3
program=${MEMPACK:-mempack}
cores=${CORES:-16}

plan=$(sbatch --parsable --job-name mempack-plan --cpus-per-task "$cores" --wrap \
    "$program plan $(printf '%q ' "$corpus") --output $(printf '%q' "$folder/build.plan") --shards $shards --threads $cores$(printf ' %q' "$@")")
built=$(sbatch --parsable --job-name mempack-shards --dependency "afterok:$plan" --array "0-$((shards - 1))" --requeue --cpus-per-task "$cores" --wrap \
    "$program build --plan $(printf '%q' "$folder/build.plan") --shard \$SLURM_ARRAY_TASK_ID --threads $cores")
sbatch --job-name mempack-merge --dependency "afterok:$built" --cpus-per-task "$cores" --wrap \
    "$program merge $(printf '%q' "$folder/build.plan") --output $(printf '%q' "$folder/bank")"
