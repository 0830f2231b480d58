#!/bin/bash
# One task per host, each with all GPUs of its host:  sbatch docs/clusters/slurm.sh gin/sop_ms.gin
#SBATCH --job-name=ccpdml
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append

# TERM@120: two minutes before the end every task is asked to stop. It writes a checkpoint and exits
# with 75, and the job goes back to the queue; the same command then goes on.
gin_file=$1
export CCPDML_DATA=${CCPDML_DATA:-$HOME/.ccpdml/data}
# Two jobs may meet on a host: each takes ports of its own.
export CCPDML_PORT=$((20000 + SLURM_JOB_ID % 20000))

srun --kill-on-bad-exit=0 python experiments/run.py \
    --gin_file="$gin_file" --run_dir="runs/$(basename "$gin_file" .gin)"
code=$?
if [ "$code" -eq 75 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
