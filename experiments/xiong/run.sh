#!/bin/sh
# Ensembles of three networks for MNIST on skewed parts of it, in floats and in integers; see README.md beside this file.
#
#   CLEAVE_DATA=<folder with mnist/> sh experiments/xiong/run.sh OUT [DEVICE]
. "$(dirname "$0")/../common.sh"

# ensemble NAME MODELS: OUT/NAME.toml with its networks; what was measured goes to OUT/NAME.json
ensemble() {
    name=$1
    shift
    [ -f "$out/$name.json" ] && return
    $cleave quantise "$@" --data "$digits" --device "$device" --force --json --out "$out/$name.toml" > "$out/$name.part"
    mv "$out/$name.part" "$out/$name.json"
}

training="--arch cryptonets --data $digits --optimizer adam --learning-rate 0.001 --weight-decay 0 --batch 64 --steps 3000
    --shift 0 --flip 0 --log-every 500 --eval-every 0"

# One network on all images, for comparison.
train all train $training
ensemble all-alone "$out/all.safetensors"

# Figs. 5 to 7: six settings of each split.
for share in 0.80-0.90 0.40-0.50 0.90-1.00 0.60-0.70 0.50-0.60 0.70-0.80; do
    for split in regular likewise random; do
        for model in 0 1 2; do
            train $split-$share-$model train $training --split-by $split:$model --group-share $share --share-seed 1
        done
        set -- "$out/$split-$share-0.safetensors" "$out/$split-$share-1.safetensors" "$out/$split-$share-2.safetensors"
        ensemble $split-$share "$@"
    done
done
