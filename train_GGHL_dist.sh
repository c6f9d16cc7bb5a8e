#!/bin/sh
# Train on every GPU of this machine: the same script and arguments as train_GGHL.py.
#   sh train_GGHL_dist.sh cfg/dota.yaml data.root=/data/DOTA_800
#   NGPU=2 sh train_GGHL_dist.sh ...                        on two of them (or in two processes on a CPU)
#   RESTARTS=3 sh train_GGHL_dist.sh ...                    go on by itself after a crash, so many times
# On several machines that share the folder runs/, the same line on each; MASTER is one of them:
#   NNODES=4 MASTER=node1:29500 sh train_GGHL_dist.sh ...
# Under SLURM: srun --ntasks-per-node=1 env NNODES="$SLURM_NNODES" MASTER="$(scontrol show hostnames | head -1):29500" \
#                  sh train_GGHL_dist.sh ...
# train.batch_size counts the images of a step over all processes.
set -eu
if [ -n "${MASTER:-}" ]; then
    where="--nnodes=${NNODES:?say how many machines: NNODES} --rdzv-backend=c10d --rdzv-endpoint=$MASTER --rdzv-id=${RUN_ID:-gghl}"
else
    where="--standalone"
fi
python=${PYTHON:-python}
script=$(dirname "$0")/train_GGHL.py
# without the libraries the script says what to do; the launcher would not
"$python" -c "import torch" 2>/dev/null || exec "$python" "$script" "$@"
# shellcheck disable=SC2086 - several words
exec "$python" -m torch.distributed.run $where --nproc-per-node="${NGPU:-auto}" \
    --max-restarts="${RESTARTS:-0}" "$script" "$@"
