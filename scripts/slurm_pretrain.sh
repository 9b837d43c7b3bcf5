#!/bin/bash
# Pre-training under Slurm, one process per GPU:
#
#   sbatch scripts/slurm_pretrain.sh recipes/dgxa100_80g_8gpu_amp.lua --input-dir ...
#
# Everything after the script is passed to bertlua. Change the lines below, or give
# sbatch the same options (they take precedence). Five minutes before the time
# limit, and when the job is preempted, the processes together save a checkpoint
# and exit with 138 (SIGUSR1) or 143 (SIGTERM); the job is then requeued and
# resumes from there.
#
#SBATCH --job-name=bertlua
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=16
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=bertlua-%j.log
set -euo pipefail

if [ $# -eq 0 ]; then
    echo "usage: sbatch $0 RECIPE [arguments]" >&2
    exit 1
fi

BERTLUA=${BERTLUA:-bertlua}

# Rank 0 is on the first node. The port differs between jobs that share a node.
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))
export MASTER_ADDR MASTER_PORT

# For training on CPUs set SRUN_ARGUMENTS=--mpi=pmix: there MPI carries the data.
# When a rank dies the others end on their own; --kill-on-bad-exit ends any that remain.
code=0
# shellcheck disable=SC2086 # a list of words
srun --kill-on-bad-exit=1 ${SRUN_ARGUMENTS:-} "$BERTLUA" "$@" --last-step-of-checkpoint auto || code=$?

case $code in
138 | 143)
    echo "stopped with a checkpoint (exit code $code): requeued"
    scontrol requeue "$SLURM_JOB_ID"
    ;;
esac
exit "$code"
