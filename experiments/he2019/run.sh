#!/bin/sh
# Inversions of the CIFAR-10 network of He, Zhang and Lee (2019); see README.md beside this file.
#
#   CLEAVE_DATA=<folder with cifar10/> sh experiments/he2019/run.sh OUT [DEVICE]
#
# An interrupted training or audit goes on where it stopped when the script is started again.
set -eu
out=$1
device=${2:-flex}
cleave=${CLEAVE:-cargo run --release --quiet --}
data=$CLEAVE_DATA/cifar10/cifar10-jpg.tar.gz
mkdir -p "$out"

if [ ! -f "$out/six-conv.safetensors" ]; then
    resume=
    if ls "$out/six-conv.safetensors.run"/state* > /dev/null 2>&1; then resume=--resume; fi
    $cleave train --arch six-conv --size 32 --data "$data" --batch 64 --shift 2 --weight-decay 0.0005 --steps 4000 \
        --learning-rate 0.02 --eval-every 2000 --seed 1 --device "$device" $resume --out "$out/six-conv.safetensors"
fi
resume=
if [ -d "$out/audit.json.run" ]; then resume=--resume; fi
# conv11 of the paper is 1:linear here, ReLU22 is 4:activation, ReLU32 is 6:activation
$cleave audit "$out/six-conv.safetensors" --cuts 1:linear,4:activation,6:activation --data "$data" --invert 64 \
    --device "$device" --seed 1 $resume --record "$out/audit.json" --report "$out/audit.html"
