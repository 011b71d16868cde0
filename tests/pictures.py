"""Folders of tiny pictures, seeded, and a network that tells them apart by colour."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

COLOURS = {"blue": (20, 30, 200), "green": (30, 200, 40), "red": (210, 20, 30)}


class ColourNet(nn.Module):
    def __init__(self, num_classes=3):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.fc(self.conv(x).mean((2, 3)))


MODEL = """
from torch import nn

class ColourNet(nn.Module):
    def __init__(self, num_classes=3):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.fc(self.conv(x).mean((2, 3)))
"""


def write_split(root: Path, names=COLOURS, n=8, size=(20, 16), seed=0):
    """Write n noisy PNGs a class."""
    rng = np.random.default_rng(seed)
    for name in names:
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            base = np.array(COLOURS.get(name, (90, 90, 90)))
            pixels = np.clip(base + rng.normal(0, 70, (size[1], size[0], 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")


def write_project(root: Path, num_classes=3):
    """Write model.py, best.pth, data/train and data/val; return the network."""
    root.mkdir(exist_ok=True)
    (root / "colours.py").write_text(MODEL)
    for seed, split in enumerate(("train", "val")):
        write_split(root / "data" / split, seed=seed)
    torch.manual_seed(4)
    model = ColourNet(num_classes)
    torch.save({"model": model.state_dict(), "classes": sorted(COLOURS)}, root / "best.pth")
    return model
