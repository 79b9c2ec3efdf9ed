"""Makes the tables of README.md from what run.sh left in a folder: python3 table.py OUT"""

import json
import pathlib
import sys

out = pathlib.Path(sys.argv[1])


def read(name):
    path = out / name
    return json.loads(path.read_text()) if path.exists() else None


def percent(share):
    return f"{100 * share:.2f} %"


def row(*cells):
    print("| " + " | ".join(map(str, cells)) + " |")


def confused(names):
    row("network", "with the key", "without", "points lost", "parameters", "more", "gain (Eq. 1, λ = 1)")
    row(*7 * ["---"])
    for name in names:
        made = read(f"{name}.json")
        if made is None:
            continue
        before, after = made["values_before"], made["values_after"]
        right, wrong = made["accuracy_with_key"], made["accuracy_without"]
        lost = f"{100 * (right - wrong):.2f}"
        row(name, percent(right), percent(wrong), lost, f"{before / 1e6:.3f} M", percent(after / before - 1), f"{made['objective']:.3f}")
    print()


strategies = ["samp", "init", "mixed", "mimic", "paired"]
networks = ["alexnet", "vgg", "resnet"]
confused(f"{network}-{kind}" for network in networks for kind in [*strategies, "samp-relative"])
row("without the key, draws 1 to 5", *strategies)
row(*6 * ["---"])
for network in networks:
    draws = [[read(f"{network}-{kind}{end}.json") for end in ["", *(f"-draw{n}" for n in range(2, 6))]] for kind in strategies]
    wrong = [sorted(made["accuracy_without"] for made in of if made is not None) for of in draws]
    row(network, *(f"{percent(of[len(of) // 2])} ({percent(of[0])} to {percent(of[-1])})" if of else "" for of in wrong))
print()
confused(f"resnet-{strategy}-{share}" for strategy in ["samp", "init"] for share in [2, 3, 4, 6, 8, 10])
confused(path.stem for path in sorted(out.glob("resnet-only-*.json")))
confused(["vgg-search"])

plain = read("vgg-tuned.train.json")
if plain is not None:
    print(f"The original, fine-tuned alike: {percent(plain['last']['accuracy'])}")
    print()
row("fine-tuned without the key", *(f"{share} %" for share in range(1, 6)))
row(*6 * ["---"])
for strategy in ["samp", "init", "mixed"]:
    cells = []
    for share in range(1, 6):
        made, tuned = read(f"vgg-{strategy}-{share}.json"), read(f"vgg-{strategy}-{share}-tuned.train.json")
        done = made is not None and tuned is not None
        cells.append(f"{percent(made['accuracy_without'])} to {percent(tuned['last']['accuracy'])}" if done else "")
    row(strategy, *cells)
print()

row("network", "attack", "labelled images", "found", "right answers")
row(*5 * ["---"])
for path in sorted(out.glob("*.audit.json")):
    record = json.loads(path.read_text())
    name = path.name.removesuffix(".audit.json")
    for found in record["detections"]:
        row(name, found["kind"], 0, percent(found["recall"]), percent(found["accuracy"]["share"]))
    for found in record["prunings"]:
        row(name, found["kind"], found["labelled"], percent(found["recall"]), percent(found["accuracy"]["share"]))
    for tuned in record["tunings"]:
        row(name, "trained " + tuned["start"], tuned["labelled"], "", percent(tuned["accuracy"]["share"]))
