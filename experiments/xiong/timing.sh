#!/bin/sh
# Seconds a layer, here and with TenSEAL, on the same machine in turns: sh experiments/xiong/timing.sh OUT [MEMBER.json]
#
# TenSEAL comes from PyPI into an environment of its own under OUT. With MEMBER.json, which `cleave quantise` wrote, TenSEAL
# runs that network; the work of the benchmark does not depend on weights.
set -eu
here=$(dirname "$0")
out=$1
mkdir -p "$out"
if [ ! -x "$out/tenseal/bin/python" ]; then
    python3 -m venv "$out/tenseal"
    "$out/tenseal/bin/pip" install --quiet tenseal==0.3.18
fi
for _ in 1 2 3; do
    cargo bench --quiet -p cleave-encrypted --bench layers
    "$out/tenseal/bin/python" "$here/tenseal_layers.py" ${2:+--member "$2"}
done | tee "$out/timing.txt"
