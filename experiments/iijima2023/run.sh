#!/bin/sh
# A ConvMixer under a key, and what is found of the key; see README.md beside this file.
#
#   CLEAVE_DATA=<folder with cifar10/> sh experiments/iijima2023/run.sh OUT [DEVICE]
. "$(dirname "$0")/../common.sh"

images="--data $CLEAVE_DATA/cifar10/cifar10-jpg.tar.gz"
mixer="--arch convmixer-256-8 --size 32 --patch 4 --kernel 9 --batch 128 --shift 2"
train mixer train $mixer $images --optimizer adamw --schedule piecewise --learning-rate 0.005 --weight-decay 0.01 \
    --steps 5850 --eval-every 1000 --save-every 200

# No secret is worth keeping here, so the key lies in the clear.
[ -f "$out/mixer.key" ] || $cleave key new --clear --out "$out/mixer.key"
for keying in shared per-patch; do
    [ -f "$out/$keying.front.safetensors" ] && continue
    each=
    if [ $keying = per-patch ]; then each=--per-patch; fi
    $cleave lock "$out/mixer.safetensors" --key "$out/mixer.key" $each --name $keying \
        --out-front "$out/$keying.front.safetensors" --out-back "$out/$keying.back.safetensors" > "$out/$keying.lock.txt"
done
for keying in shared per-patch; do
    [ -f "$out/$keying.audit.json" ] && continue
    resume=
    if [ -d "$out/$keying.audit.json.run" ]; then resume=--resume; fi
    $cleave audit --front "$out/$keying.front.safetensors" --back "$out/$keying.back.safetensors" \
        --key "$out/mixer.key" --base "$out/mixer.safetensors" $images --invert 60 $resume --seed 1 --device "$device" \
        --record "$out/$keying.audit.json" --report "$out/$keying.audit.html" > "$out/$keying.audit.txt"
done

# A classifier on keyed images, without the key: the provider's, if somebody gave it labels. Beside it the same on plain ones.
for split in train test; do
    [ -d "$out/keyed-images/$split" ] && continue
    rm -rf "$out/keyed-images/$split.part"
    $cleave encrypt-images "$CLEAVE_DATA/cifar10/cifar10-jpg.tar.gz" --split $split --key "$out/mixer.key" \
        --front "$out/shared.front.safetensors" --out "$out/keyed-images/$split.part"
    mv "$out/keyed-images/$split.part" "$out/keyed-images/$split"
done
small="--arch convmixer-128-4 --size 32 --patch 4 --kernel 9 --batch 128 --shift 0 --optimizer adamw --schedule piecewise"
for kind in plain keyed; do
    images="--data $CLEAVE_DATA/cifar10/cifar10-jpg.tar.gz"
    if [ $kind = keyed ]; then images="--data $out/keyed-images"; fi
    train small-$kind train $small $images --flip 0 --learning-rate 0.005 --weight-decay 0.01 --steps 2000 --eval-every 1000
done
