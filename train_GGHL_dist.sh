#!/bin/sh
# Train on every GPU of this machine (or NGPU of them): the same script and arguments as train_GGHL.py.
exec torchrun --standalone --nproc_per_node="${NGPU:-auto}" train_GGHL.py "$@"
