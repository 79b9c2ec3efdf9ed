"""Makes the fixture of crates/nets/tests/import.rs with the user's own PyTorch.

    pip install torch safetensors
    python experiments/import-reference/make.py crates/nets/tests/fixtures

A narrow AlexNet (64 pixels, every width divided by 16) in torchvision's module layout, its weights as a
.pt state dict and as safetensors, and its logits on inputs that the Rust test computes by the same formula.
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from torch import nn


class AlexNet(nn.Module):
    def __init__(self, divisor=16, classes=2):
        super().__init__()
        w = [3] + [max(1, n // divisor) for n in (64, 192, 384, 384, 256)]
        hidden = 1024 // divisor
        self.features = nn.Sequential(
            nn.Conv2d(w[0], w[1], 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(w[1], w[2], 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(w[2], w[3], 3, 1, 1), nn.ReLU(),
            nn.Conv2d(w[3], w[4], 3, 1, 1), nn.ReLU(),
            nn.Conv2d(w[4], w[5], 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2),
        )
        self.classifier = nn.Sequential(
            nn.Linear(w[5], hidden), nn.ReLU(), nn.Dropout(),
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(),
            nn.Linear(hidden, classes),
        )

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def main():
    folder = pathlib.Path(sys.argv[1])
    torch.manual_seed(0)
    model = AlexNet().eval()
    for parameter in model.parameters():  # larger than the default, so that logits differ between inputs
        parameter.data.mul_(2.0)
    n = 4 * 3 * 64 * 64
    inputs = torch.sin(torch.arange(n, dtype=torch.float64) * 0.37).float().reshape(4, 3, 64, 64)
    with torch.no_grad():
        logits = model(inputs)
    torch.save(model.state_dict(), folder / "alexnet-64-16.pt")
    save_file(model.state_dict(), folder / "alexnet-64-16.safetensors")
    record = {"torch": torch.__version__, "logits": logits.tolist()}
    (folder / "alexnet-64-16.json").write_text(json.dumps(record) + "\n")


main()
