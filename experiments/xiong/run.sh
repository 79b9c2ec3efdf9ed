#!/bin/sh
# Ensembles of three networks for MNIST on skewed parts of it, in floats and in integers; see README.md beside this file.
#
#   CLEAVE_DATA=<folder with mnist/> sh experiments/xiong/run.sh OUT [DEVICE]
. "$(dirname "$0")/../common.sh"

# ensemble NAME MODELS [OPTIONS]: OUT/NAME.toml with its networks; what was measured goes to OUT/NAME.json. Ranges are
# those of all test images and of 1135 training images a digit, which is how many the most frequent has in the test set.
ensemble() {
    name=$1
    shift
    [ -f "$out/$name.json" ] && return
    $cleave quantise "$@" --data "$digits" --limit 1135 --device "$device" --force --json --out "$out/$name.toml" \
        > "$out/$name.part"
    mv "$out/$name.part" "$out/$name.json"
}

training="--arch cryptonets --data $digits --optimizer adam --learning-rate 0.001 --weight-decay 0 --batch 64 --steps 3000
    --flip 0 --log-every 500 --eval-every 0"

# One network on all images, for comparison.
train all train $training --shift 0
ensemble all-alone "$out/all.safetensors"

# Figs. 5 to 7: six settings of each split.
for share in 0.80-0.90 0.40-0.50 0.90-1.00 0.60-0.70 0.50-0.60 0.70-0.80; do
    for split in regular likewise random; do
        for model in 0 1 2; do
            train $split-$share-$model train $training --shift 0 --split-by $split:$model --group-share $share --share-seed 1
        done
        set -- "$out/$split-$share-0.safetensors" "$out/$split-$share-1.safetensors" "$out/$split-$share-2.safetensors"
        ensemble $split-$share "$@"
    done
done

# The hardest setting again, on images that are moved by a pixel.
for split in regular likewise random; do
    for model in 0 1 2; do
        train moved-$split-$model train $training --shift 1 --split-by $split:$model --group-share 0.90-1.00 --share-seed 1
    done
    set -- "$out/moved-$split-0.safetensors" "$out/moved-$split-1.safetensors" "$out/moved-$split-2.safetensors"
    ensemble moved-$split-all "$@"
done

# Fewer levels of pixels and weights, so that the scores fit the cheaper parameters.
for split in regular likewise random; do
    name=$split-0.80-0.90
    set -- "$out/$name-0.safetensors" "$out/$name-1.safetensors" "$out/$name-2.safetensors"
    for levels in "1 7" "3 5"; do
        pixel=${levels% *}
        weight=${levels#* }
        ensemble "coarse-$split-$pixel-$weight" "$@" --max-pixel "$pixel" --max-weight "$weight"
    done
done
