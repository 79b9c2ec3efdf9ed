"""Makes the tables of README.md from what run.sh left in a folder: python3 table.py OUT"""

import json
import pathlib
import re
import sys

out = pathlib.Path(sys.argv[1])


def row(*cells):
    print("| " + " | ".join(map(str, cells)) + " |")


def both(made):
    return f"{100 * made['float']:.2f} / {100 * made['integer']:.2f}"


def bits(made):
    return ", ".join(str(entry["bits"]) for entry in made["ranges"])


for split in ["regular", "likewise", "random"]:
    row(split, "model 0", "model 1", "model 2", "ensemble", "alike", "bits: convolution, hidden, output, sum")
    row(*7 * ["---"])
    for path in sorted(out.glob(f"{split}-*.json")):
        share = re.fullmatch(split + r"-(\d\.\d\d-\d\.\d\d)\.json", path.name)
        if share is None:
            continue
        made = json.loads(path.read_text())
        alike = f"{100 * made['ensemble']['alike']:.2f}"
        row(share[1], *map(both, made["members"]), both(made["ensemble"]), alike, bits(made))
    print()

row("0.90-1.00, moved", "model 0", "model 1", "model 2", "ensemble", "alike")
row(*6 * ["---"])
for split in ["regular", "likewise", "random"]:
    path = out / f"moved-{split}-all.json"
    if path.exists():
        made = json.loads(path.read_text())
        row(split, *map(both, made["members"]), both(made["ensemble"]), f"{100 * made['ensemble']['alike']:.2f}")
print()

row("fewer levels", "pixels", "weights", "ensemble", "alike", "bits: convolution, hidden, output, sum", "set", "bits to spare")
row(*8 * ["---"])
for path in sorted(out.glob("coarse-*.json")):
    name = re.fullmatch(r"coarse-(\w+)-(\d+)-(\d+)\.json", path.name)
    if name is None:
        continue
    made = json.loads(path.read_text())
    alike = f"{100 * made['ensemble']['alike']:.2f}"
    row(name[1], name[2], f"±{name[3]}", both(made["ensemble"]), alike, bits(made), made["set"], made["spare_bits"])
print()

alone = out / "all-alone.json"
if alone.exists():
    made = json.loads(alone.read_text())
    print(f"One network on all images: {both(made['ensemble'])}; bits {bits(made)}; {made['set']}")
