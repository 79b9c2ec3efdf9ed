#!/bin/sh
# Trainings on ciphertexts, over QUIC on this machine, after run.sh beside this file; see README.md.
#
#   CLEAVE_DATA=<folder with mnist/ and regnet-mnist/> sh experiments/chiang2023/encrypted.sh OUT [DEVICE]
. "$(dirname "$0")/../common.sh"

address=127.0.0.1:4456
[ -d "$out/keys" ] || $cleave keys --out "$out/keys" --client researcher > /dev/null
$cleave serve --training --keys "$out/keys" --listen $address > "$out/serve.txt" 2> "$out/serve.log" &
server=$!
trap 'kill $server' EXIT
until grep -q listening "$out/serve.txt"; do sleep 1; done

# peak PID: largest resident set so far in kB, where the system tells
peak() {
    awk '/VmHWM/ { print $2 }' "/proc/$1/status" 2> /dev/null || echo 0
}

# encrypted NAME FEATURES ARGUMENTS: OUT/NAME.encrypted.json, with the peak memory of both sides behind it
encrypted() {
    name=$1
    features=$2
    shift 2
    [ -f "$out/$name.encrypted.json" ] && return
    echo 5 > "/proc/$server/clear_refs" 2> /dev/null || true
    $cleave encrypted-train "$features" "$@" --keys "$out/keys" --client researcher --connect $address \
        --device "$device" --force --out "$out/$name.head.safetensors" --json > "$out/$name.encrypted.part" &
    client=$!
    most=0
    while kill -0 $client 2> /dev/null; do
        now=$(peak $client)
        [ "${now:-0}" -gt "$most" ] && most=$now
        sleep 0.2
    done
    wait $client
    echo "{\"provider_kb\": $(peak $server), \"client_kb\": $most}" > "$out/$name.memory.json"
    mv "$out/$name.encrypted.part" "$out/$name.encrypted.json"
}

# The paper's two iterations on its first 128 images, and more of them.
regnet=$CLEAVE_DATA/regnet-mnist/features-first256.csv.gz
paper="--first 128 --preconditioner paper --cubic paper --start 0.0128"
encrypted paper "$regnet" $paper
encrypted paper-four "$regnet" $paper --set ckks-32768-16 --iterations 4
encrypted paper-rounds "$regnet" $paper --iterations 24

# Beyond it: features of our own network. run.sh chose place, lambda and range, on training images alone.
# mnist NAME COUNT LAMBDA RANGE ARGUMENTS
mnist() {
    name=$1
    features=$out/mnist-first-$2.safetensors
    [ -f "$features" ] || $cleave features "$out/cifar-grey.safetensors" --layer 6 --data "$digits" --split train --first "$2" \
        --device "$device" --out "$features" > /dev/null
    method="--preconditioner ridge:$3 --cubic fit:$4"
    shift 4
    encrypted "$name" "$features" --test "$out/mnist-test.csv" $method "$@"
}
mnist mnist-128 128 100 6
mnist mnist-256 256 30 6
mnist mnist-512 512 10 12
mnist mnist-512-curve 512 10 12 --iterations 6 --each 1

# The head behind its network, on the images themselves.
[ -f "$out/mnist-512.eval.json" ] || $cleave eval "$out/cifar-grey.safetensors" --head "$out/mnist-512.head.safetensors" \
    --data "$digits" --split test --device "$device" --json > "$out/mnist-512.eval.json"

python3 "$(dirname "$0")/encrypted.py" "$out"
