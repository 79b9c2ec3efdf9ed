#!/bin/sh
# Features of networks that never saw the images, and what Chiang 2023 compares without ciphertexts; see README.md
# beside this file.
#
#   CLEAVE_DATA=<folder with mnist/, cifar10/ and dogs-vs-cats/> sh experiments/chiang2023/run.sh OUT [DEVICE]
. "$(dirname "$0")/../common.sh"

cifar=$CLEAVE_DATA/cifar10/cifar10-jpg.tar.gz
compare=${COMPARE:-cargo run --release --quiet -p cleave-encrypted --example compare --}

# features NAME MODEL ARGUMENTS: OUT/NAME.csv
features() {
    name=$1
    model=$2
    shift 2
    [ -f "$out/$name.csv" ] && return
    $cleave features "$out/$model.safetensors" "$@" --device "$device" --force --out "$out/$name.part.csv" > "$out/$name.features.txt"
    mv "$out/$name.part.csv" "$out/$name.csv"
}

# compared NAME ARGUMENTS: OUT/NAME.txt
compared() {
    name=$1
    shift
    [ -f "$out/$name.txt" ] && return
    $compare "$@" > "$out/$name.part"
    mv "$out/$name.part" "$out/$name.txt"
}

common="--arch six-conv --divisor 4 --size 32 --batch 64 --optimizer adamw --learning-rate 0.003 --weight-decay 0.01
    --shift 2 --eval-every 0 --save-every 100 --steps 2000"
train cifar-grey train $common --channels 1 --data "$cifar"
train cats train $common --data "$cats"

# The place, on training images alone: tested on the last 2,000 of the first 12,000.
for layer in 4 5 6 7; do
    features mnist-place-$layer cifar-grey --layer $layer --data "$digits" --split train --first 12000
    compared mnist-place-$layer few "$out/mnist-place-$layer.csv" --draws 5
done

# Few images, at the place that was chosen.
for split in train test; do
    features mnist-$split cifar-grey --layer 6 --data "$digits" --split $split
    features cifar-$split cats --layer 6 --data "$cifar" --split $split
done
compared mnist-few few "$out/mnist-train.csv" "$out/mnist-test.csv" --draws 10
compared cifar-few few "$out/cifar-train.csv" "$out/cifar-test.csv" --draws 10 --shuffle 1

# Figure 1.
for data in mnist cifar; do
    compared $data-curves curves "$out/$data-train.csv" "$out/$data-test.csv" --shuffle 1 --iterations 100 --out "$out/$data-curves.csv"
done
compared mnist-curves-500 curves "$out/mnist-train.csv" "$out/mnist-test.csv" --shuffle 1 --iterations 500 --out "$out/mnist-curves-500.csv"
# "Python experiments imitating the privacy-preserving CNN training": the cubic on 8,192 images.
compared mnist-8192 curves "$out/mnist-train.csv" "$out/mnist-test.csv" --first 8192 --iterations 300 --out "$out/mnist-8192.csv"
