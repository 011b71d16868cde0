"""Measures every figure of this sample's README and prints its tables.

Seeded, some ten seconds on one core, after finetune.py: ``python samples/finetune/measure.py``.
"""

import argparse
import copy
import itertools
import pickle
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import torch
from finetune import HERE, Split, count_right, first_model, splits, train, train_head, unfreeze
from model import ShapeNet, build
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.optim import AdamW

PASSES = 3
Rows = list[tuple[object, ...]]


def show(header: str, rows: Sequence[Sequence[object]]) -> None:
    """Print a table as Markdown."""
    columns = header.split(" | ")
    for row in (columns, ["---"] * len(columns), *rows):
        print("|", " | ".join(map(str, row)), "|")
    print()


def load(path: Path) -> ShapeNet:
    model = build()
    model.load_state_dict(torch.load(path, weights_only=True))
    return model


def situations(seed: int) -> Rows:
    """Fine-tune with little and much data, like and unlike what the first model was trained on."""
    little, much = (20, 12), (60, 4)  # images per digit, epochs: about as many batches
    cells: dict[str, tuple[tuple[int, int], int]] = {
        "little, like": (little, 0),
        "**the sample**": (little, 15),
        "little, unlike": (little, 90),
        "much, like": (much, 0),
        "much, unlike": (much, 90),
    }
    return [
        (name, *one_situation(images, epochs=epochs, degrees=degrees, seed=seed))
        for name, ((images, epochs), degrees) in cells.items()
    ]


def one_situation(images_per_digit: int, *, epochs: int, degrees: int, seed: int) -> tuple[object, ...]:
    """Count what is right by the head alone, by the head trained longer, by everything, and from scratch."""
    torch.manual_seed(seed)
    train_split, test_split = splits(images_per_digit, degrees=degrees)
    model = first_model()
    optimizer = train_head(model, train_split, epochs=epochs)
    head_only = count_right(model, test_split)
    # Copied together, so that the copied optimizer holds the copied parameters.
    longer, its_optimizer = copy.deepcopy((model, optimizer))
    unfreeze(model, optimizer)
    train(model, optimizer, train_split, epochs=epochs)
    train(longer, its_optimizer, train_split, epochs=epochs)
    scratch = build()
    train(scratch, AdamW(scratch.parameters(), lr=3e-3), train_split, epochs=2 * epochs)
    right = [count_right(one, test_split) for one in (longer, model, scratch)]
    return len(train_split.targets), epochs, degrees, head_only, *right


def furthest(model: nn.Module, before: dict[str, torch.Tensor], name: str) -> float:
    """Return how far the values of this name moved at most."""
    moved = [(after - before[key]).abs().max() for key, after in model.state_dict().items() if name in key]
    return float(max(moved))


def frozen_features(seed: int) -> Rows:
    """Train the head with frozen features in either mode; look at what moved all the same."""
    train_split, test_split = splits(20, degrees=90)
    _, upright = splits(0, degrees=0)
    rows: Rows = []
    for keep in (True, False):
        torch.manual_seed(seed)
        model = first_model()
        old_head, before = copy.deepcopy(model.head), copy.deepcopy(model.state_dict())
        train_head(model, train_split, keep_statistics=keep)
        parameters = dict(model.features.named_parameters())
        moved = sum(not value.equal(before[f"features.{name}"]) for name, value in parameters.items())
        shift = furthest(model, before, "running_mean"), furthest(model, before, "running_var")
        families = count_right(model, test_split)
        model.head = old_head
        digits = count_right(model, upright._replace(targets=upright.digits))
        mode = "eval" if keep else "train"
        rows.append((mode, f"{moved} of {len(parameters)}", *map("{:.2f}".format, shift), families, digits))
    return rows


def passes_without_training(path: Path) -> Rows:
    """Pass images through in train mode under no_grad, and count in eval mode afterwards."""
    _, test_split = splits(0)
    _, upright = splits(0, degrees=0)
    rows: Rows = [("none", "0.00", "0.00", count_right(load(path), test_split))]
    for name, seen in (("these images", test_split), ("the same images, upright", upright)):
        model = load(path).train()
        before = copy.deepcopy(model.state_dict())
        with torch.no_grad():
            for batch in seen.inputs.split(32):
                model(batch)
        shift = furthest(model, before, "running_mean"), furthest(model, before, "running_var")
        rows.append((name, *map("{:.2f}".format, shift), count_right(model, test_split)))
    return rows


def set_mode(model: nn.Module, training: tuple[type[nn.Module], ...]) -> None:
    """Put modules of these types into train mode and all others into eval mode."""
    for module in model.modules():
        module.training = isinstance(module, training)


def right_in_shuffled_batches(model: ShapeNet, split: Split) -> int:
    """Count in the mode that the model is in; BatchNorm in train mode sees who shares a batch."""
    batches = torch.randperm(len(split.targets)).split(32)
    return sum(int((model(split.inputs[rows]).argmax(1) == split.targets[rows]).sum()) for rows in batches)


def kept_for_backward(model: ShapeNet, inputs: torch.Tensor) -> int:
    """Return the bytes that one forward pass keeps for a backward pass, without the model's own."""
    kept: dict[int, torch.UntypedStorage] = {}  # holding the storages keeps their addresses from being reused

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        model(inputs)
    own = {value.untyped_storage().data_ptr() for value in (*model.state_dict().values(), inputs)}
    return sum(storage.nbytes() for address, storage in kept.items() if address not in own)


def milliseconds(model: ShapeNet, inputs: torch.Tensor) -> float:
    """Return the shortest of some forward passes: the others were disturbed."""
    durations = []
    for _ in range(PASSES):
        start = time.perf_counter()
        model(inputs)
        durations.append(time.perf_counter() - start)
    return min(durations) * 1000


def modes(path: Path, seed: int) -> Rows:
    """Count, weigh and time forward passes in every mode, with and without gradients."""
    _, test_split = splits(0)
    normalising, dropping = (nn.BatchNorm2d,), (nn.Dropout,)
    names = {"eval": (), "train, Dropout alone": dropping, "train, BatchNorm alone": normalising}
    names["train"] = normalising + dropping
    return [
        (mode, "yes" if grad else "no", *one_mode(load(path), test_split, training, grad=grad, seed=seed))
        for (mode, training), grad in itertools.product(names.items(), (True, False))
    ]


def one_mode(model: ShapeNet, split: Split, training: tuple, *, grad: bool, seed: int) -> tuple[object, ...]:
    torch.manual_seed(seed)
    set_mode(model, training)
    with torch.set_grad_enabled(grad):
        right = [right_in_shuffled_batches(model, split) for _ in range(PASSES)]
        size, duration = kept_for_backward(model, split.inputs), milliseconds(model, split.inputs)
    return min(right), max(right), f"{size:,}", f"{duration:.1f}"


def keeping_the_best(path: Path, seed: int) -> Rows:
    """Keep the best model in five ways, then train on at a rate that ruins the model."""
    torch.manual_seed(seed)
    train_split, test_split = splits(20)
    model = load(path)
    kept = {
        "model.state_dict()": model.state_dict(),
        "copy.copy(model.state_dict())": copy.copy(model.state_dict()),
        "copy.copy(model)": copy.copy(model),
        "copy.deepcopy(model.state_dict())": copy.deepcopy(model.state_dict()),
        "copy.deepcopy(model)": copy.deepcopy(model),
    }
    before = [count_right(restored(best), test_split) for best in kept.values()]
    train(model, AdamW(model.parameters(), lr=0.3), train_split, epochs=2)
    after = [count_right(restored(best), test_split) for best in kept.values()]
    return [(f"`{name}`", *counts) for name, *counts in zip(kept, before, after, strict=True)]


def restored(best: nn.Module | dict[str, torch.Tensor]) -> ShapeNet:
    """Return the model that was kept."""
    if isinstance(best, ShapeNet):
        return best
    model = build()
    model.load_state_dict(best)
    return model


@contextmanager
def in_the_place_of_model(module: ModuleType | None) -> Iterator[None]:
    """Let ``import model`` find this module, or none, for a while."""
    elsewhere = [entry for entry in sys.path if Path(entry).resolve() != HERE]
    with patch.dict(sys.modules), patch.object(sys, "path", elsewhere):
        del sys.modules["model"]
        if module is not None:
            sys.modules["model"] = module
        yield


def opened(path: Path, *, weights_only: bool) -> str:
    """Open a file; return what came of it."""
    try:
        torch.load(path, weights_only=weights_only)
    except pickle.UnpicklingError as error:
        return type(error).__name__  # its message is a page long
    except (ImportError, AttributeError) as error:
        return f"{type(error).__name__}: {str(error).partition(' from ')[0]}"
    return "opens"


def files(folder: Path) -> Rows:
    """Weigh the files, and open them as data, with their code, without it, and with its class renamed."""
    rows: Rows = []
    for name in ("finetuned.pt", "finetuned_whole.pt"):
        path = folder / name
        cells = [opened(path, weights_only=True), opened(path, weights_only=False)]
        for module in (None, ModuleType("model")):
            with in_the_place_of_model(module):
                cells.append(opened(path, weights_only=False))
        rows.append((name, f"{path.stat().st_size:,}", *cells))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoints", type=Path, default=HERE / "checkpoints")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    finetuned = args.checkpoints / "finetuned.pt"
    show(
        "situation | images | epochs | tilt | head only | head, longer | unfrozen | from scratch",
        situations(args.seed),
    )
    show(
        "features in | parameters moved | means moved by | variances moved by | shapes right | digits right",
        frozen_features(args.seed),
    )
    show(
        "passed through | means moved by | variances moved by | right afterwards",
        passes_without_training(finetuned),
    )
    show("mode | gradients | right, lowest | right, highest | bytes kept | ms", modes(finetuned, args.seed))
    show("best kept as | right when kept | right later", keeping_the_best(finetuned, args.seed))
    show("file | bytes | as data | as code | `model.py` away | `ShapeNet` renamed", files(args.checkpoints))


if __name__ == "__main__":
    main()
