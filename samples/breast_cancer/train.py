"""Trains a small network on scikit-learn's real breast-cancer data and writes what the sample evaluates.

Seeded, a few seconds on one core: ``python samples/breast_cancer/train.py``. Rows with i % 4 == 3 are held
out for the evaluation, rows with i % 4 == 2 for the choice of a threshold.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from model import build
from sklearn.datasets import load_breast_cancer
from torch import nn

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE)
    args = parser.parse_args()
    (args.out / "data").mkdir(parents=True, exist_ok=True)
    (args.out / "checkpoints").mkdir(exist_ok=True)

    table = load_breast_cancer()
    x, y = table.data.astype(np.float32), 1 - table.target  # 1 is malignant
    part = np.arange(len(x)) % 4
    for name, kept in (("validation", part == 2), ("test", part == 3)):
        rows = np.flatnonzero(kept)
        ids = np.array([f"row-{row}" for row in rows])
        np.savez(args.out / f"data/{name}.npz", x=x[kept], y=y[kept], id=ids, radius=table.data[kept, 0])

    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    model, inputs = build(), torch.from_numpy(x[part < 2])
    labels = torch.from_numpy(y[part < 2]).float()[:, None]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=1e-2)
    for _ in range(args.epochs):
        model.train()
        for batch in torch.randperm(len(inputs)).split(32):
            if len(batch) > 1:  # one sample has no variance to normalise by
                optimizer.zero_grad()
                nn.functional.binary_cross_entropy_with_logits(model(inputs[batch]), labels[batch]).backward()
                optimizer.step()
    torch.save({"model": model.state_dict(), "epochs": args.epochs}, args.out / "checkpoints/mlp.pt")
    print(f"{len(inputs)} rows trained on; {int((part == 3).sum())} held out")


if __name__ == "__main__":
    main()
