#!/bin/sh
# The split with signals on Dogs vs. Cats and on MNIST; see README.md beside this file.
#
#   CLEAVE_DATA=<folder with dogs-vs-cats/ and mnist/> sh experiments/sun2019/run.sh OUT [DEVICE]
#
# `table.py OUT` makes the tables of what OUT then holds.
. "$(dirname "$0")/../common.sh"

evaluate() {
    name=$1
    shift
    $cleave eval "$out/$name.safetensors" --glyphs "$digits" --seed 1 --device "$device" --json "$@" > "$out/$name.eval.json"
}

images="--data $cats --batch 32 --shift 4 --weight-decay 0.0005"
train base train $images --size 112 --steps 9000 --learning-rate 0.01
evaluate base --data "$cats"
train digit-0 retrain "$out/base.safetensors" $images --preserve 0 --glyphs "$digits" --steps 12000 --learning-rate 0.01
evaluate digit-0 --data "$cats"
for n in 1 2 3 4; do
    train digit-$n retrain "$out/base.safetensors" $images --preserve $n --glyphs "$digits" --steps 3000 --learning-rate 0.005
    train plane-$n retrain "$out/base.safetensors" $images --preserve $n --signal plane --steps 2000 --learning-rate 0.005
    evaluate digit-$n --data "$cats"
    evaluate plane-$n --data "$cats"
done

images="--data $digits --batch 32 --shift 4 --flip 0 --weight-decay 0.0005 --eval-every 0"
train mnist-base train $images --size 112 --channels 1 --divisor 4 --steps 2000 --learning-rate 0.01
evaluate mnist-base --data "$digits" --split test
for n in 1 2 3 4; do
    train mnist-$n retrain "$out/mnist-base.safetensors" $images --preserve $n --glyphs "$digits" --steps 10000 --learning-rate 0.01
    evaluate mnist-$n --data "$digits" --split test
done

# The client over loopback QUIC against the whole network, for every validation image.
[ -d "$out/keys" ] || $cleave keys --out "$out/keys" --client alice
for n in 1 2 3 4; do
    $cleave cut "$out/digit-$n.safetensors" --cut $((n + 1)) --name dogcat-$n --force --json \
        --out-front "$out/front-$n.safetensors" --out-back "$out/back-$n.safetensors" > "$out/cut-$n.json" || continue
    $cleave serve --back "$out/back-$n.safetensors" --keys "$out/keys" --listen 127.0.0.1:44$((30 + n)) \
        > "$out/serve-$n.txt" 2> "$out/serve-$n.err" &
    server=$!
    while ! grep -q listening "$out/serve-$n.txt"; do sleep 1; done
    for element in f32 f16 u8; do
        $cleave infer "$cats" --split val --front "$out/front-$n.safetensors" --keys "$out/keys" --client alice \
            --connect 127.0.0.1:44$((30 + n)) --element $element --compare-whole "$out/digit-$n.safetensors" --json \
            > "$out/wire-$n-$element.json"
    done
    kill -INT $server
    wait $server || true
done
