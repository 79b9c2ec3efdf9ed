#!/bin/sh
# What defences at a cut cost, and what they leave to an attacker; see README.md beside this file.
#
#   CLEAVE_DATA=<folder with dogs-vs-cats/ and mnist/> sh experiments/defences/run.sh OUT [DEVICE]
#
# `audits.py OUT/*.audit.json` makes the tables of what OUT then holds.
. "$(dirname "$0")/../common.sh"

images="--data $cats --batch 32 --shift 3 --weight-decay 0.0005 --eval-every 0"
train base train $images --size 64 --steps 6000 --learning-rate 0.01

# defended NAME ARGUMENTS: retrained from the base with N = 1
defended() {
    network=$1
    shift
    train "$network" retrain "$out/base.safetensors" $images --preserve 1 --glyphs "$digits" --steps 3000 \
        --learning-rate 0.005 "$@"
}

# attacked NAME CUT ATTACKS ARGUMENTS: NAME is that of a network, with or without -at-CUT, -more or -bounded
attacked() {
    network=$1
    cut=$2
    attacks=$3
    shift 3
    model=${network%-at-*}
    model=${model%-more}
    audit "$network" "${model%-bounded}" --data "$cats" --base "$out/base.safetensors" --cuts "$cut" --attacks "$attacks" "$@"
}
inversions=probes,decoder,white-box,jacobian

# Trained in, at the end of the convolutions: without anything, with noise alone, against probes, and with both.
defended plain
attacked plain 5 probes --defend gaussian:0.5 --defend gaussian:1 --defend gaussian:2
for weight in 1 0 4; do
    defended noisy-$weight --at 5 --adversary-signal $weight --adversary-label $weight --noise-at 5 --noise-scale 2
    attacks=probes
    if [ $weight = 1 ]; then attacks=$inversions; fi
    attacked noisy-$weight 5 $attacks --defend gaussian:1 --defend gaussian:2 --defend gaussian:4
done
attacked noisy-1-more 5 probes --defend gaussian:8 --defend gaussian:16 --defend gaussian:32
attacked noisy-1-bounded 5 probes,jacobian --defend gaussian:4 --policy noise-bounded
defended adversary-1 --at 5 --adversary-signal 1 --adversary-label 1
attacked adversary-1 5 probes,decoder,white-box
for weight in 1 10; do
    defended nopeek-$weight --at 5 --nopeek $weight
    attacked nopeek-$weight 5 $inversions
done
for channels in 32 8; do
    defended bottleneck-$channels --at 4 --bottleneck $channels
    attacked bottleneck-$channels 5 $inversions
done

# Applied at the cut, where the paper cuts.
attacked plain-at-2 2 probes,white-box,jacobian --defend gaussian:dfil:1000 --defend gaussian:dfil:100 --defend gaussian:dfil:10 \
    --defend gaussian:dfil:1 --defend gaussian:dfil:0.1 --defend gaussian:dfil:0.01 --defend laplace:dfil:0.1 \
    --defend bits:4 --defend bits:2 --defend bits:1
