"""Tables of audit records: python3 audits.py RECORD.json..."""

import json
import pathlib
import sys

INVERSIONS = ["white-box", "decoder", "query-free", "least-squares"]
PROBES = ["signal", "label", "label-by-answer"]


def percent(share):
    return f"{100 * share['share']:.1f} ({100 * share['low']:.1f}–{100 * share['high']:.1f})"


def row(cells):
    print("| " + " | ".join(map(str, cells)) + " |")


def header(cells):
    row(cells)
    row(["---"] * len(cells))


def defences(found):
    def words(defence):
        settings = [f"{key} {value:g}" for key, value in defence.items() if isinstance(value, (int, float))]
        return " ".join([defence.get("distribution", defence["type"]), *settings])

    return "; ".join(map(words, found["defences"])) or "none"


def directions(visible):
    spread = "" if visible["exact"] else f" ({visible['rank_low']:.0f}–{visible['rank_high']:.0f})"
    return f"{visible['rank']:.0f}{spread} of {visible['of']}"


def best(found, kind):
    read = [probe for probe in found["probes"] if probe["target"] == kind]
    return max(read, key=lambda probe: probe["accuracy"]["share"], default=None)


records = [json.loads(pathlib.Path(path).read_text()) for path in sys.argv[1:]]
cuts = [(record, found) for record in records for found in record["cuts"]]

for record in records:
    subject = record["subject"]
    print(
        f"{subject['model']}: {subject['attacker_images']} images of the attacker's, {subject['private_images']} private, "
        f"{subject['inverted_images']} of them inverted; seed {record['seed']}, {record['seconds'] / 60:.0f} min"
    )
    for baseline in record["baselines"]:
        if baseline["cut"] is None:
            scores = baseline["scores"]
            print(
                f"    {baseline['name']}: SSIM {scores['ssim']['mean']:.3f}, {scores['psnr']['mean']:.1f} dB, "
                f"judge right {100 * scores['recognised']['share']:.0f} %"
            )
print()

header(["network", "cut", "defences", "bytes", "answer", "signal", "label", "label by answer", "guess"])
for record, found in cuts:
    probes = [best(found, kind) for kind in PROBES]
    row(
        [record["subject"]["model"], found["cut"], defences(found), found["bytes"], percent(found["task_accuracy"])]
        + [percent(probe["accuracy"]) if probe else "–" for probe in probes]
        + [f"{100 * found['label_guess']:.1f}"]
    )
print()

header(["network", "cut", "defences", "directions"] + INVERSIONS + ["error explained", "extraction"])
for record, found in cuts:
    by_kind = {inversion["kind"]: inversion for inversion in found["inversions"]}
    if not by_kind and not found["visible"]:
        continue
    scores = [by_kind[kind]["scores"] if kind in by_kind else None for kind in INVERSIONS]
    seen = [directions(visible) for visible in found["visible"]]
    mean_image = next(b for b in record["baselines"] if b["name"] == "mean image")["scores"]["mse"]["mean"]
    errors = [inversion["scores"]["mse"]["mean"] for inversion in found["inversions"]]
    copy = found.get("extraction")
    row(
        [record["subject"]["model"], found["cut"], defences(found), ", ".join(seen) or "–"]
        + [f"{s['ssim']['mean']:.3f}, {s['psnr']['mean']:.1f} dB" if s else "–" for s in scores]
        + [f"{100 * (1 - min(errors) / mean_image):.0f} %" if errors else "–"]
        + [f"{percent(copy['accuracy'])} after {copy['questions']}" if copy else "–"]
    )
