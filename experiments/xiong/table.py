"""Makes the tables of README.md from what run.sh left in a folder: python3 table.py OUT"""

import json
import pathlib
import sys

out = pathlib.Path(sys.argv[1])


def row(*cells):
    print("| " + " | ".join(map(str, cells)) + " |")


def both(made):
    return f"{100 * made['float']:.2f} / {100 * made['integer']:.2f}"


for split in ["regular", "likewise", "random"]:
    row(split, "model 0", "model 1", "model 2", "ensemble", "answers alike", "bits of the sum", "set")
    row(*8 * ["---"])
    for path in sorted(out.glob(f"{split}-*.json")):
        if path.name.endswith(".train.json"):
            continue
        made = json.loads(path.read_text())
        share = path.stem.removeprefix(f"{split}-")
        alike = f"{100 * made['ensemble']['alike']:.2f}"
        members = map(both, made["members"])
        row(share, *members, both(made["ensemble"]), alike, made["ranges"][3]["bits"], made["set"])
    print()

alone = out / "all-alone.json"
if alone.exists():
    made = json.loads(alone.read_text())
    print(f"One network on all images: {both(made['ensemble'])}; bits", [entry["bits"] for entry in made["ranges"]])
