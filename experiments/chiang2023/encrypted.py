"""Tables of what encrypted.sh left in a folder: python3 encrypted.py OUT."""

import json
import sys
from pathlib import Path

out = Path(sys.argv[1])
NAMES = ["paper", "paper-four", "paper-rounds", "mnist-128", "mnist-256", "mnist-512", "mnist-512-curve"]
runs = {name: json.loads(path.read_text()) for name in NAMES if (path := out / f"{name}.encrypted.json").exists()}
memory = {name: json.loads((out / f"{name}.memory.json").read_text()) for name in runs}


def row(*cells):
    print("| " + " | ".join(str(cell) for cell in cells) + " |")


row("run", "set", "samples x features", "iterations", "sent MB", "received MB", "encrypt, send s", "train s", "fetch, decrypt s",
    "all s", "provider MiB", "client MiB")
row(*["---"] * 12)
for name, run in runs.items():
    seconds = run["seconds"]
    times = [f"{seconds[key]:.1f}" for key in ("send", "train", "fetch", "total")]
    traffic = [f"{run[key] / 1e6:.1f}" for key in ("bytes_sent", "bytes_received")]
    peaks = [memory[name][key] >> 10 for key in ("provider_kb", "client_kb")]
    size = f"{run['samples']} x {run['features']}"
    row(name, run["set"], size, run["rounds"][-1]["iterations"], *traffic, *times, *peaks)

print()
row("run", "iterations", "largest error of a weight", "largest weight", "largest score", "decrypted", "in the clear",
    "exact sigmoid", "loss, decrypted", "loss, exact sigmoid")
row(*["---"] * 10)
for name, run in runs.items():
    for after in run["rounds"]:
        scores = [after[kind] for kind in ("decrypted", "clear", "sigmoid")]
        shares = [f"{score['accuracy']:.4f}" for score in scores]
        losses = [f"{score['loss']:.2f}" for score in (scores[0], scores[2])]
        numbers = [f"{after['largest_error']:.1e}", f"{after['largest_weight']:.3f}", f"{after['largest_score']:.2f}"]
        row(name, after["iterations"], *numbers, *shares, *losses)

evaluated = out / "mnist-512.eval.json"
if evaluated.exists():
    print(f"\nmnist-512 behind its network, on the images: {json.loads(evaluated.read_text())['accuracy']:.4f}")
