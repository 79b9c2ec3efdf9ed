#!/bin/sh
# Audits of the networks that run.sh made; see README.md beside this file.
#
#   CLEAVE_DATA=<folder with dogs-vs-cats/ and mnist/> sh experiments/sun2019/audit.sh OUT [DEVICE]
#
# OUT holds what run.sh left there, and gets a record and a page for each network.
. "$(dirname "$0")/../common.sh"

# The whole image from one layer: nothing joins the base network.
audit base-linear base --data "$cats" --cuts 1:linear,1:activation --invert 16 --attacks white-box,least-squares,jacobian
# Every cut of the network whose signal joins the image, with and without the first pool.
audit digit-0 digit-0 --data "$cats" --base "$out/base.safetensors" --cuts 1:activation,1,2,3,4,5
# The paper's setting: the cut right behind the layer that the signal joins.
for n in 1 2 3 4; do
    audit digit-$n digit-$n --data "$cats" --base "$out/base.safetensors" --cuts $((n + 1)) --attacks probes,jacobian
    audit mnist-$n mnist-$n --data "$digits" --base "$out/mnist-base.safetensors" --flip 0 --cuts $((n + 1)) \
        --attacks probes,jacobian
done
# An offset on ten classes, attacked in full.
audit mnist-1-full mnist-1 --data "$digits" --base "$out/mnist-base.safetensors" --flip 0 --cuts 2,3,4,5
