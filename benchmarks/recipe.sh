#!/bin/sh
# Compare recipes on 400 images of HIT-UAV at 320 px, three seeds each: what the defaults were chosen by.
#   sh benchmarks/recipe.sh HIT_UAV_ROOT                                             the optimisers
#   sh benchmarks/recipe.sh HIT_UAV_ROOT "loss.preset=paper" "loss.preset=tuned"     any settings; a word a recipe
# EPOCHS (8), SEEDS ("0 1 2") and BASE (settings of all recipes) may be set. A line per run: seed, AP50, AP75.
set -eu
root=$(cd "${1:?where is HIT-UAV?}" && pwd); shift; cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}; subset=runs/recipe-data
[ $# -gt 0 ] || set -- train.optimizer=sgd train.optimizer=adamw train.optimizer=muon
rm -rf "$subset"; mkdir -p "$subset/ImageSets"
for folder in images labelTxt; do ln -s "$root/$folder" "$subset/$folder"; done
awk 'NR % 7 < 2' "$root/ImageSets/train.txt" > "$subset/ImageSets/train.txt" # 400 of 1400
cp "$root/ImageSets/val.txt" "$subset/ImageSets/val.txt"
for recipe in "$@"; do
    for seed in ${SEEDS:-0 1 2}; do
        # shellcheck disable=SC2086 - several settings in a word
        "$python" train_GGHL.py cfg/hit_uav.yaml "data.root=$subset" data.image_size=256,320 \
            model.size=nano "train.epochs=${EPOCHS:-8}" "train.eval_every=${EPOCHS:-8}" train.name=recipe \
            train.batch_size=8 train.weight_decay=0.0005 augment.mosaic=0 "train.seed=$seed" ${BASE:-} $recipe 2> runs/recipe.log |
            awk -v what="$recipe, seed $seed" '$1 == "mean" { print what ": AP50 " $4 ", AP75 " $5 }'
    done
done
