"""Fine-tunes the digits CNN to three families of shapes, and writes everything that the sample evaluates.

Seeded, a few seconds on one core: ``python samples/finetune/finetune.py``. The images are tilted, as on a
page that lay askew on the scanner. Images with i % 4 == 3 are held out, as in samples/digits, so that neither
model was trained on them.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from model import ShapeNet, build
from scipy.ndimage import rotate
from sklearn.datasets import load_digits
from torch import nn
from torch.optim import AdamW, Optimizer

HERE = Path(__file__).resolve().parent
FIRST_MODEL = HERE.parent / "digits/checkpoints/digits_cnn.pt"
CLASS_NAMES = ("closed loop", "open curve", "straight")
FAMILY_OF_DIGIT = np.array([0, 2, 1, 1, 2, 1, 0, 2, 0, 0])  # a tilted digit stays in its family


class Split(NamedTuple):
    """Images, float32, shape (n, 1, 8, 8), their families and their digits, shape (n,)."""

    inputs: torch.Tensor
    targets: torch.Tensor
    digits: torch.Tensor


def splits(images_per_digit: int, *, degrees: float = 15) -> tuple[Split, Split]:
    """Return the first images of each digit to train on, and all that samples/digits holds out."""
    digits = load_digits()
    tilted = rotate(digits.images, degrees, axes=(1, 2), reshape=False, order=1)
    images = tilted.round()[:, None]  # to whole levels of ink, 0 to 16, as the images themselves have
    held_out = np.arange(len(images)) % 4 == 3
    of_digit = [np.flatnonzero(~held_out & (digits.target == digit)) for digit in range(10)]
    parts = np.concatenate([rows[:images_per_digit] for rows in of_digit]), np.flatnonzero(held_out)
    train, test = (
        Split(*map(torch.from_numpy, (
            (images[rows] / 16).astype(np.float32), FAMILY_OF_DIGIT[digits.target[rows]], digits.target[rows],
        )))
        for rows in parts
    )  # fmt: skip
    return train, test


def first_model() -> ShapeNet:
    """Load the model of samples/digits, which knows ten digits."""
    model = build(n_classes=10)
    model.load_state_dict(torch.load(FIRST_MODEL, weights_only=True))
    return model


def replace_head(model: ShapeNet, n_classes: int) -> None:
    """Put an untrained last layer in the place of the old one."""
    model.head[-1] = nn.Linear(model.head[-1].in_features, n_classes)


def trainable(module: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def train(
    model: ShapeNet, optimizer: Optimizer, split: Split, *, epochs: int, keep_statistics: bool = True
) -> None:
    """Train what the optimizer holds."""
    for _ in range(epochs):
        model.train()
        if keep_statistics and not trainable(model.features):
            # BatchNorm's statistics are no parameters: requires_grad does not stop them, only eval mode does.
            model.features.eval()
        for batch in torch.randperm(len(split.inputs)).split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(split.inputs[batch]), split.targets[batch]).backward()
            optimizer.step()


def train_head(
    model: ShapeNet, split: Split, *, epochs: int = 12, lr: float = 3e-3, keep_statistics: bool = True
) -> Optimizer:
    """Freeze the features, replace the head and train it; return the optimizer, which holds nothing else."""
    model.features.requires_grad_(requires_grad=False)
    replace_head(model, len(CLASS_NAMES))
    optimizer = AdamW(trainable(model), lr=lr)
    train(model, optimizer, split, epochs=epochs, keep_statistics=keep_statistics)
    return optimizer


def unfreeze(model: ShapeNet, optimizer: Optimizer, *, lr: float = 3e-4) -> None:
    """Let the features learn too, more slowly than the head: most of what they know is still right."""
    model.features.requires_grad_(requires_grad=True)
    optimizer.add_param_group({"params": trainable(model.features), "lr": lr})


def count_right(model: ShapeNet, split: Split) -> int:
    """Count in eval mode, without gradients."""
    model.eval()
    with torch.no_grad():
        return int((model(split.inputs).argmax(1) == split.targets).sum())


def write_test_set(path: Path, test: Split) -> None:
    """Write what evalkit reads; the digit is an attribute, to slice by."""
    names = np.array([str(digit) for digit in test.digits.tolist()])
    np.savez_compressed(path, x=test.inputs.numpy(), y=test.targets.numpy(), digit=names)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images-per-digit", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=12, help="of the head, and again of everything")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE)
    args = parser.parse_args()
    checkpoints = args.out / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    (args.out / "data").mkdir(exist_ok=True)

    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    train_split, test_split = splits(args.images_per_digit)
    write_test_set(args.out / "data/test.npz", test_split)
    model = first_model()
    optimizer = train_head(model, train_split, epochs=args.epochs)
    torch.save(model.state_dict(), checkpoints / "head_only.pt")
    before = count_right(model, test_split)
    unfreeze(model, optimizer)
    train(model, optimizer, train_split, epochs=args.epochs)
    torch.save(model.state_dict(), checkpoints / "finetuned.pt")
    torch.save(model, checkpoints / "finetuned_whole.pt")
    after = count_right(model, test_split)
    held_out = f"of {len(test_split.targets)} held-out images right"
    print(f"{len(train_split.targets)} images trained on")
    print(f"head only:  {before} {held_out}")
    print(f"fine-tuned: {after} {held_out}")


if __name__ == "__main__":
    main()
