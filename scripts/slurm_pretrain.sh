#!/bin/bash
# Pre-training under Slurm, one process a GPU:
#
#   sbatch scripts/slurm_pretrain.sh recipes/dgxa100_80g_8gpu_amp.lua --input-dir ...
#
# Everything after the script goes to bertlua. Change the lines below, or give
# sbatch the same options (they win). Five minutes before the time is up, and
# when the job is preempted, every process saves one checkpoint together and
# exits with 138 (SIGUSR1) or 143 (SIGTERM); the job is then queued again and
# goes on from there.
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

# Where rank 0 is: the first node. The port differs from job to job on a shared node.
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))
export MASTER_ADDR MASTER_PORT

# For training on CPUs set SRUN_ARGUMENTS=--mpi=pmix: there MPI carries the data.
# A dead rank ends the others by itself; --kill-on-bad-exit ends what is left.
code=0
# shellcheck disable=SC2086 # a list of words
srun --kill-on-bad-exit=1 ${SRUN_ARGUMENTS:-} "$BERTLUA" "$@" --last-step-of-checkpoint auto || code=$?

case $code in
138 | 143)
    echo "stopped with a checkpoint (exit code $code): queued again"
    scontrol requeue "$SLURM_JOB_ID"
    ;;
esac
exit "$code"
