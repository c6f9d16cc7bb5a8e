#!/bin/sh
# Train on HIT-UAV and report AP50, AP75 and AP50 over slanted objects on val, with one command.
#   sh benchmarks/hit_uav.sh DATA_ROOT                          nano, 8 epochs: 23 minutes on two cores
#   sh benchmarks/hit_uav.sh DATA_ROOT large 60                 the paper's network, on a GPU
#   sh benchmarks/hit_uav.sh DATA_ROOT large 60 train.lr=0.01   any setting of cfg/schema.py
set -eu
root=$(cd "$1" && pwd); cd "$(dirname "$0")/.."
size=${2:-nano}; epochs=${3:-8}
shift; [ $# -gt 0 ] && shift; [ $# -gt 0 ] && shift
python=${PYTHON:-.venv/bin/python}; name="hit_uav-$size-$epochs-$(date +%Y%m%d-%H%M%S)"
"$python" train_GGHL.py cfg/hit_uav.yaml "data.root=$root" "model.size=$size" "train.epochs=$epochs" \
    "train.name=$name" "$@"
"$python" test.py "runs/$name"
"$python" -c "
import csv
rows = list(csv.DictReader(open('runs/$name/results.csv')))
speed = sorted(float(row['images_per_second']) for row in rows)[len(rows) // 2]
print(f'training: {speed:.1f} images/s, median over {len(rows)} epochs')"
