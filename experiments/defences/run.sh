#!/bin/sh
# What defences at a cut cost, and what they leave to an attacker; see README.md beside this file.
#
#   CLEAVE_DATA=<folder with dogs-vs-cats/ and mnist/> sh experiments/defences/run.sh OUT [DEVICE]
#
# OUT gets the models and one record an audit; `audits.py OUT/*.audit.json` makes the tables of them. What was
# interrupted goes on where it stopped when the script is started again.
set -eu
out=$1
device=${2:-flex}
cleave=${CLEAVE:-cargo run --release --quiet --}
cats=$CLEAVE_DATA/dogs-vs-cats/dogs-vs-cats-128.tar
mkdir -p "$out"

# train NAME ARGUMENTS: skips what is there, resumes what was interrupted
train() {
    name=$1
    shift
    [ -f "$out/$name.safetensors" ] && return
    resume=
    if ls "$out/$name.safetensors.run"/state* > /dev/null 2>&1; then resume=--resume; fi
    $cleave "$@" --data "$cats" --batch 32 --shift 3 --weight-decay 0.0005 --eval-every 0 $resume --seed 1 \
        --device "$device" --out "$out/$name.safetensors" --json > "$out/$name.train.json"
}

# audit NAME CUTS ARGUMENTS
audit() {
    name=$1
    cuts=$2
    shift 2
    [ -f "$out/$name.audit.json" ] && return
    resume=
    if [ -d "$out/$name.audit.json.run" ]; then resume=--resume; fi
    $cleave audit "$out/$name.safetensors" --data "$cats" --base "$out/base.safetensors" --cuts "$cuts" "$@" --seed 1 \
        --device "$device" $resume --record "$out/$name.audit.json" --report "$out/$name.audit.html" > "$out/$name.audit.txt"
}

# defended NAME ARGUMENTS: retrained from the base with N = 1
defended() {
    name=$1
    shift
    train "$name" retrain "$out/base.safetensors" --preserve 1 --glyphs "$CLEAVE_DATA/mnist" --steps 3000 \
        --learning-rate 0.005 "$@"
}

attacks="--attacks probes,white-box,jacobian"
train base train --size 64 --steps 6000 --learning-rate 0.01

# Trained in, at the end of the convolutions: without anything, with noise alone, against probes, and with both.
defended plain
audit plain 5 $attacks --defend gaussian:2
for weight in 1 0 4; do
    defended noisy-$weight --at 5 --adversary-signal $weight --adversary-label $weight --noise-at 5 --noise-scale 2
    audit noisy-$weight 5 $attacks --defend gaussian:2
done
defended adversary-1 --at 5 --adversary-signal 1 --adversary-label 1
audit adversary-1 5 $attacks
defended nopeek-10 --at 5 --nopeek 10
audit nopeek-10 5 $attacks
defended bottleneck-8 --at 4 --bottleneck 8
audit bottleneck-8 5 $attacks

# Applied at the cut, where the paper cuts.
cp "$out/plain.safetensors" "$out/applied.safetensors"
audit applied 2 $attacks --defend gaussian:dfil:100 --defend gaussian:dfil:1 --defend bits:4 --defend bits:1
