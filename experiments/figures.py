"""What attacks got at each cut, as a picture: python3 figures.py RECORD.json OUT.svg (needs matplotlib)."""

import json
import pathlib
import sys

import matplotlib.pyplot as plt

INVERSIONS = {"white-box": "o-", "decoder": "s-", "query-free": "^-", "least-squares": "D"}
PROBES = {"signal": ("signal read", "o-"), "label": ("label read", "s-"), "label-by-answer": ("label by answer", "^-")}

plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "cleave", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3})
record = json.loads(pathlib.Path(sys.argv[1]).read_text())
found = record["cuts"]
cuts = [cut["cut"] for cut in found]
figure, (images, answers) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")


def curve(axes, name, style, points):
    """Points are a mean with the ends of its interval, or nothing where a cut has none."""
    at = [cut for cut, point in zip(cuts, points) if point]
    means, lows, highs = zip(*[point for point in points if point])
    errors = [[m - l for m, l in zip(means, lows)], [h - m for m, h in zip(means, highs)]]
    axes.errorbar(at, means, yerr=errors, fmt=style, capsize=2, markersize=4, label=name)


def level(axes, name, value):
    axes.axhline(value, color="grey", linestyle="--", linewidth=1)
    axes.annotate(name, (0, value), textcoords="offset points", xytext=(0, -10), color="grey")


for kind, style in INVERSIONS.items():
    scores = [next((i["scores"]["ssim"] for i in cut["inversions"] if i["kind"] == kind), None) for cut in found]
    if any(scores):
        curve(images, kind, style, [score and (score["mean"], score["low"], score["high"]) for score in scores])
mean_image = next(baseline for baseline in record["baselines"] if baseline["name"] == "mean image")
level(images, "mean image", mean_image["scores"]["ssim"]["mean"])
images.set(title=f"Images given back ({record['subject']['inverted_images']} images)", xlabel="cut behind", ylabel="mean SSIM")
images.set_ylim(0, 1)

for target, (name, style) in PROBES.items():
    read = [[probe["accuracy"] for probe in cut["probes"] if probe["target"] == target] for cut in found]
    best = [max(shares, key=lambda share: share["share"], default=None) for shares in read]
    if any(best):
        curve(answers, name, style, [share and [100 * share[end] for end in ("share", "low", "high")] for share in best])
level(answers, "guessing the label", 100 * found[0]["label_guess"])
answers.set(title=f"Read by probes ({record['subject']['private_images']} images)", xlabel="cut behind", ylabel="per cent right")
answers.set_ylim(0, 104)
for axes in (images, answers):
    axes.legend(loc="best", fontsize=8)
figure.savefig(sys.argv[2], metadata={"Date": None})
