#!/bin/sh
# Confusion neurons in networks for CIFAR-10, and what attacks leave of them; see README.md beside this file.
#
#   CLEAVE_DATA=<folder with cifar10/> sh experiments/confusion/run.sh OUT [DEVICE]
. "$(dirname "$0")/../common.sh"

data="$CLEAVE_DATA/cifar10/cifar10-jpg.tar.gz"
tested="--data $data --split test --device $device"

# confuse NAME NETWORK ARGUMENTS: OUT/NAME.safetensors with its key, which lies in the clear and is drawn from a number,
# since no secret is worth keeping here; what was measured goes to OUT/NAME.json
drawn=1
confuse() {
    name=$1
    network=$2
    shift 2
    [ -f "$out/$name.json" ] && return
    rm -f "$out/$name.key"
    $cleave confuse "$out/$network.safetensors" "$@" $tested --clear --guessable-seed $drawn --json \
        --out "$out/$name.safetensors" --key-out "$out/$name.key" > "$out/$name.part"
    mv "$out/$name.part" "$out/$name.json"
}

common="--data $data --batch 128 --schedule piecewise --shift 2 --eval-every 2000 --save-every 500 --half"
train vgg train --arch vgg-11-bn --divisor 2 --size 32 $common --learning-rate 0.05 --steps 4000
train resnet train --arch resnet-20 --size 32 $common --learning-rate 0.2 --steps 4000
train alexnet train --arch alexnet --divisor 2 --size 64 $common --optimizer adamw --learning-rate 0.001 \
    --weight-decay 0.01 --steps 6000

# Table 1: 5 % of the channels, the same number in every layer.
for network in alexnet vgg resnet; do
    for strategy in samp init mixed mimic paired; do
        confuse $network-$strategy $network --strategy $strategy
    done
    confuse $network-samp-relative $network --strategy samp --per-layer relative
done

# The same with other draws of positions and weights, which tell how much is luck.
for drawn in 2 3 4 5; do
    for network in alexnet vgg resnet; do
        for strategy in samp init mixed mimic paired; do
            confuse $network-$strategy-draw$drawn $network --strategy $strategy
            rm -f "$out/$network-$strategy-draw$drawn.safetensors"
        done
    done
done
drawn=1

# Fig. 4: other shares of the channels.
for percent in 2 3 4 6 8 10; do # 1 % is less than one channel a layer
    for strategy in samp init; do
        confuse resnet-$strategy-$percent resnet --strategy $strategy --proportion "$(printf 0.%02d "$percent")"
        rm -f "$out/resnet-$strategy-$percent.safetensors"
    done
done

# Fig. 3: all of them in one place, the stream between the blocks of a stage or the inside of its first block.
for layer in 0 3.body.0 9.body.3 9.body.0 15.body.3 15.body.0; do
    for sharing in absolute relative; do
        confuse resnet-only-$layer-$sharing resnet --strategy samp --only $layer --per-layer $sharing --proportion 0.2
        rm -f "$out/resnet-only-$layer-$sharing.safetensors"
    done
done

# Eq. 1: the plan that a search finds for the memory of the even one.
confuse vgg-search vgg --strategy samp --search 0.0888

# Table 5: fine-tuned without the key on 500 of the training images; beside it the original.
tuning="--data $data --limit 50 --batch 32 --steps 400 --learning-rate 0.001 --weight-decay 0.0001 --shift 0 --eval-every 0"
train vgg-tuned train --from "$out/vgg.safetensors" $tuning
for percent in 1 2 3 4 5; do
    for strategy in samp init mixed; do
        name=vgg-$strategy-$percent
        [ -f "$out/$name-tuned.train.json" ] && continue
        confuse $name vgg --strategy $strategy --proportion "$(printf 0.%02d "$percent")"
        train $name-tuned train --from "$out/$name.safetensors" $tuning
        rm -f "$out/$name.safetensors" "$out/$name-tuned.safetensors"
    done
done

# The attacks.
for network in vgg resnet; do
    for strategy in samp init mixed mimic paired; do
        name=$network-$strategy
        [ -f "$out/$name.audit.json" ] && continue
        resume=
        if [ -d "$out/$name.audit.json.run" ]; then resume=--resume; fi
        $cleave audit-confused "$out/$name.safetensors" $resume --key "$out/$name.key" --data "$data" --labelled 50,500 --seed 1 \
            --device "$device" --record "$out/$name.audit.json" --report "$out/$name.audit.html" > "$out/$name.audit.txt"
    done
done
