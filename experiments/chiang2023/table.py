"""The tables of README.md from what run.sh left: python3 table.py OUT"""

import csv
import pathlib
import re
import sys

out = pathlib.Path(sys.argv[1])
SHOWN = [1, 2, 5, 10, 20, 50, 100, 200, 300, 500]


def percent(text):
    return f"{100 * float(text):.2f}"


def curves(name):
    with open(out / f"{name}.csv", newline="") as file:
        head, *rows = csv.reader(file)
    shown = [t for t in SHOWN if t < len(rows)]
    print(f"\n| {name}: iterations | " + " | ".join(map(str, shown)) + " |\n|---|" + "---|" * len(shown))
    for column, method in enumerate(head[1:], 1):
        print(f"| {method} | " + " | ".join(percent(rows[t][column]) for t in shown) + " |")


def draws(name):
    """By method, the mean and the ends of each number of images."""
    line = re.compile(r"(\d+) images, \d+ draws, (.+): ([\d.]+) \(([\d.]+) to ([\d.]+)\)")
    found = {}
    for samples, method, *shares in line.findall((out / f"{name}.txt").read_text()):
        found.setdefault(method, {})[samples] = [percent(share) for share in shares]
    return found


def few(name):
    found = draws(name)
    counts = list(next(iter(found.values())))
    print(f"\n| {name} | " + " | ".join(f"{count} images" for count in counts) + " |\n|---|" + "---|" * len(counts))
    for method, shares in found.items():
        print(f"| {method} | " + " | ".join("{} ({} to {})".format(*shares[count]) for count in counts) + " |")


def first(name):
    text = (out / f"{name}.txt").read_text()
    print(f"\n| {name}: the first images | λ | cubic fitted on | parts left out | " + " | ".join(draws(name)) + " |")
    print("|---|" + "---|" * (3 + len(draws(name))))
    block = re.compile(r"images 1 to (\d+): λ = (\S+), cubic fitted on −(\S+) to \S+, ([\d.]+) on the parts left out\n((?:  .+\n)+)")
    for samples, value, ends, left_out, ways in block.findall(text):
        after = [" / ".join(map(percent, re.findall(r"\d\.\d{4}", way))) for way in ways.splitlines()]
        print(f"| {samples} | {value} | ±{ends} | {percent(left_out)} | " + " | ".join(after) + " |")


def places():
    print("\n| layer | features | 128 images | 256 images | 512 images |\n|---|---|---|---|---|")
    for path in sorted(out.glob("mnist-place-?.txt")):
        width = re.search(r"of (\d+) features", path.read_text())[1]
        means = [shares[0] for shares in draws(path.stem)["ridge, fitted cubic"].values()]
        print(f"| {path.stem[-1]} | {width} | " + " | ".join(means) + " |")


for name in ["mnist-curves", "cifar-curves", "mnist-8192"]:
    curves(name)
for name in ["mnist-few", "cifar-few"]:
    few(name)
first("mnist-few")
places()
