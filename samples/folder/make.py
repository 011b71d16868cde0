"""Makes what the commonest user has: data/train, data/val (a folder a class) and best.pth.

Real digits from scikit-learn as PNG files, a torchvision ResNet-18 trained on them for seconds, seeded:
``python samples/folder/make.py``. Images with i % 4 == 3 are for validation.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn
from torchvision.models import resnet18

HERE = Path(__file__).resolve().parent
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def write_images(root: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Write one PNG an image; give back the pixels and labels (by sorted class name) of both splits."""
    digits = load_digits()
    order = sorted(NAMES)
    splits: dict[str, tuple[list, list]] = {"train": ([], []), "val": ([], [])}
    rows = ["file_name,writer"]
    for i, (image, target) in enumerate(zip(digits.images, digits.target, strict=True)):
        split, name = "val" if i % 4 == 3 else "train", NAMES[target]
        path = root / split / name / f"{i:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = (image * 255 / 16).round().astype(np.uint8)
        Image.fromarray(pixels).convert("RGB").resize((32, 32), Image.Resampling.BILINEAR).save(path)
        splits[split][0].append(np.asarray(Image.open(path)))
        splits[split][1].append(order.index(name))
        if split == "val":
            rows.append(f"{name}/{path.name},{'even' if i % 2 == 0 else 'odd'}")
    (root / "meta.csv").write_text("\n".join(rows) + "\n")
    return {split: (np.stack(x), np.array(y)) for split, (x, y) in splits.items()}


def main() -> None:
    """Write images, train, save."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)  # the same numbers on every machine
    splits = write_images(args.out / "data")
    images, labels = (torch.from_numpy(part) for part in splits["train"])
    x = images.permute(0, 3, 1, 2).float() / 255
    model = resnet18(num_classes=len(NAMES))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(args.epochs):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), labels[batch]).backward()
            optimizer.step()
    torch.save({"model": model.state_dict(), "args": args}, args.out / "best.pth")
    print(f"{len(x)} images trained on; best.pth written")


if __name__ == "__main__":
    main()
