#!/bin/sh
# Inversions of the CIFAR-10 network of He, Zhang and Lee (2019); see README.md beside this file.
#
#   CLEAVE_DATA=<folder with cifar10/> sh experiments/he2019/run.sh OUT [DEVICE]
. "$(dirname "$0")/../common.sh"

images="--data $CLEAVE_DATA/cifar10/cifar10-jpg.tar.gz"
train six-conv train --arch six-conv --size 32 $images --batch 64 --shift 2 --weight-decay 0.0005 --steps 4000 \
    --learning-rate 0.02 --eval-every 2000
# conv11 of the paper is 1:linear here, ReLU22 is 4:activation, ReLU32 is 6:activation
audit six-conv six-conv $images --cuts 1:linear,4:activation,6:activation --invert 64
