"""Accuracy after each iteration, as a picture: python3 curves.py CURVES.csv OUT.svg (needs matplotlib)."""

import csv
import sys

import matplotlib.pyplot as plt

STYLES = {"RawNAG": "C0", "SigmoidNAG": "C1", "SigmoidNAGQG": "C2", "ridge": "C3"}
LINES = {"rate 1/t": ":", "best r/t": "-.", "the paper's cubic": ":", "fitted cubic": "--"}

plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "cleave", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3})
with open(sys.argv[1], newline="") as file:
    names, *rows = csv.reader(file)
figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
for column, name in enumerate(names[1:], 1):
    method, _, kind = name.partition(", ")
    accuracy = [100 * float(row[column]) for row in rows[1:]]
    axes.plot([int(row[0]) for row in rows[1:]], accuracy, LINES.get(kind, "-"), color=STYLES[method], label=name, linewidth=1)
axes.set(xscale="log", xlabel="iteration", ylabel="per cent right on the test images")
axes.legend(loc="lower right", fontsize=7)
figure.savefig(sys.argv[2], metadata={"Date": None})
