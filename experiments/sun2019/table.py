"""Makes the tables of README.md from what run.sh left in a folder: python3 table.py OUT"""

import json
import pathlib
import sys

out = pathlib.Path(sys.argv[1])


def read(name):
    path = out / name
    return json.loads(path.read_text()) if path.exists() else None


def accuracy_rows(base, rows):
    whole = read(f"{base}.eval.json")
    print("| network | steps | seconds | accuracy | points below base | Eq. 11 | masked label is true |")
    print("|---|---|---|---|---|---|---|")
    for name in [base, *rows]:
        trained, tested = read(f"{name}.train.json"), read(f"{name}.eval.json")
        if trained is None or tested is None:
            continue
        last = trained["last"]
        below = 100 * (whole["accuracy"] - tested["accuracy"])
        cells = [
            name,
            last["steps"],
            f"{last['seconds']:.0f}",
            f"{100 * tested['accuracy']:.2f} %",
            f"{below:.2f}",
            f"{tested['average_accuracy']:.5f}",
            f"{100 * tested['masked_matches']:.1f} %",
        ]
        print("| " + " | ".join(map(str, cells)) + " |")
    print()


accuracy_rows("base", ["digit-0", *(f"{form}-{n}" for form in ("digit", "plane") for n in range(1, 5))])
accuracy_rows("mnist-base", [f"mnist-{n}" for n in range(1, 5)])

print("| cut | element | images | accuracy | labels that differ | MB sent | ms a request of 16 |")
print("|---|---|---|---|---|---|---|")
for n in range(1, 5):
    for element in ("f32", "f16", "u8"):
        answer = read(f"wire-{n}-{element}.json")
        if answer is None:
            continue
        cells = [
            f"N = {n}, after layer {n + 1}",
            element,
            len(answer["labels"]),
            f"{100 * answer['accuracy']:.2f} %",
            answer["differs_from_whole"],
            f"{answer['bytes_sent'] / 1e6:.1f}",
            f"{answer['mean_milliseconds_a_request']:.1f}",
        ]
        print("| " + " | ".join(map(str, cells)) + " |")
