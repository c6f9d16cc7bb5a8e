#!/bin/sh
# Train on every GPU of this machine (or NGPU of them): the same script and arguments as train_GGHL.py.
cd "$(dirname "$0")" || exit
exec torchrun --standalone --nproc_per_node="${NGPU:-auto}" train_GGHL.py "$@"
