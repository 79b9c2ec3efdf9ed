//! Networks as data: layer lists, weights, checkpoints, run by burn
