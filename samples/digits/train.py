"""Trains the digits CNN on scikit-learn's real images and writes everything that the sample evaluates.

Seeded, a few seconds on one core: ``python samples/digits/train.py``. Images with i % 4 == 3 are held out.
"""

import argparse
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from model import DigitsNet, build
from sklearn.datasets import load_digits
from torch import nn

HERE = Path(__file__).resolve().parent


def split() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    digits = load_digits()
    images = (digits.images[:, None] / 16).astype(np.float32)
    held_out = np.arange(len(images)) % 4 == 3
    return (images[~held_out], digits.target[~held_out]), (images[held_out], digits.target[held_out])


def ink_level(images: np.ndarray) -> np.ndarray:
    """Name the tercile of each image's mean ink."""
    ink = images.mean(axis=(1, 2, 3))
    return np.array(["low", "middle", "high"])[np.digitize(ink, np.quantile(ink, [1 / 3, 2 / 3]))]


def train_epoch(model: DigitsNet, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor) -> None:
    model.train()
    for batch in torch.randperm(len(x)).split(64):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--baseline-epoch", type=int, default=2)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE)
    args = parser.parse_args()
    out = args.out / "checkpoints"
    out.mkdir(parents=True, exist_ok=True)
    (args.out / "data").mkdir(exist_ok=True)

    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    (train_x, train_y), (test_x, test_y) = split()
    model, x, y = build(), torch.from_numpy(train_x), torch.from_numpy(train_y)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)
    for epoch in range(1, args.epochs + 1):
        train_epoch(model, optimizer, x, y)
        if epoch == args.baseline_epoch:
            torch.save(model.state_dict(), out / "digits_baseline.pt")
    torch.save(model.state_dict(), out / "digits_cnn.pt")
    safetensors.torch.save_file(model.state_dict(), out / "digits_cnn.safetensors")
    # What a training loop leaves behind: the weights, and whatever its author put beside them.
    args.out = str(args.out.name)
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": args.epochs,
        "args": args,
    }
    torch.save(state, out / "digits_training.pt")
    np.savez_compressed(Path(out).parent / "data/test.npz", x=test_x, y=test_y, ink=ink_level(test_x))
    model.eval()
    with torch.no_grad():
        right = (model(torch.from_numpy(test_x)).argmax(1).numpy() == test_y).sum()
    print(f"{right} of {len(test_y)} held-out images right after {args.epochs} epochs")


if __name__ == "__main__":
    main()
