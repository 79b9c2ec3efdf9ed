# Read by the run.sh beside each experiment's README, with that script's arguments: OUT [DEVICE].
#
# OUT gets models, logs, records and pages. What is there is not made again, and what was interrupted goes on where it
# stopped. DEVICE is flex unless another is built in.
set -eu
out=$1
device=${2:-flex}
cleave=${CLEAVE:-cargo run --release --quiet --}
cats=$CLEAVE_DATA/dogs-vs-cats/dogs-vs-cats-128.tar
digits=$CLEAVE_DATA/mnist
mkdir -p "$out"

# train NAME COMMAND ARGUMENTS: OUT/NAME.safetensors by `cleave COMMAND`
train() {
    name=$1
    shift
    [ -f "$out/$name.safetensors" ] && return
    resume=
    if ls "$out/$name.safetensors.run"/state* > /dev/null 2>&1; then resume=--resume; fi
    $cleave "$@" $resume --seed 1 --device "$device" --out "$out/$name.safetensors" --json > "$out/$name.train.part"
    mv "$out/$name.train.part" "$out/$name.train.json"
}

# audit NAME MODEL ARGUMENTS: OUT/NAME.audit.json with its page and its table
audit() {
    name=$1
    model=$2
    shift 2
    [ -f "$out/$name.audit.json" ] && return
    resume=
    if [ -d "$out/$name.audit.json.run" ]; then resume=--resume; fi
    $cleave audit "$out/$model.safetensors" "$@" $resume --seed 1 --device "$device" \
        --record "$out/$name.audit.json" --report "$out/$name.audit.html" > "$out/$name.audit.txt"
}
