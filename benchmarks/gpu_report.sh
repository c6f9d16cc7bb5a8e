#!/bin/sh
# Everything that is measured on a GPU, with one command; the tables of docs/benchmarks.md come from its output.
#   sh benchmarks/gpu_report.sh HIT_UAV_ROOT [OUT]            about an hour on one data-centre GPU
#   EPOCHS=5 sh benchmarks/gpu_report.sh HIT_UAV_ROOT         a short try
# OUT (runs/gpu_report by default) holds one text file for each part; a part that fails does not stop the others.
set -u
root=$(cd "${1:?where is HIT-UAV?}" && pwd); cd "$(dirname "$0")/.." || exit
out=${2:-runs/gpu_report}; epochs=${EPOCHS:-60}
python=${PYTHON:-.venv/bin/python}; export PYTHON="$python"
mkdir -p "$out"

part() { # NAME COMMAND...
    name=$1; shift
    echo "== $name: $*"
    "$@" > "$out/$name.txt" 2>&1 || echo "   failed, see $out/$name.txt"
    tail -12 "$out/$name.txt"
}

part tests "$python" -m pytest -q -m gpu tests
part operators "$python" benchmarks/operators.py
part loader "$python" benchmarks/loader.py "$root" --size 512 640
part step_large "$python" benchmarks/training.py --steps 50 model.size=large data.image_size=800 train.batch_size=32 \
    data.workers=16
part step_large_compiled "$python" benchmarks/training.py --steps 50 model.size=large data.image_size=800 \
    train.batch_size=32 data.workers=16 train.compile=true
part step_nano "$python" benchmarks/training.py --steps 50 model.size=nano data.image_size=640 train.batch_size=32 \
    data.workers=16
for size in nano large; do
    part "hit_uav_$size" sh benchmarks/hit_uav.sh "$root" "$size" "$epochs" train.batch_size=16 data.workers=16
done
echo "results: $out"
