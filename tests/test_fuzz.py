"""Damaged checkpoints by the thousand: refused or equal, never a crash, a wait or a heap of memory.

``pytest tests/test_fuzz.py --fuzz-seed 7 --fuzz-rounds 20000`` tries others.
"""

import random
import resource
import time
from collections.abc import Callable

import pytest
import safetensors.torch
import torch
from torch import nn

from evalkit.checkpoints.loading import load_weights
from evalkit.checkpoints.reader import read_checkpoint
from evalkit.errors import CheckpointError

MAX_SECONDS = 2.0
FORMATS = ("zip", "legacy", "safetensors")


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))


def flip(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def truncate(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def splice(data: bytearray, rng: random.Random) -> None:
    """Write a piece of the file over another place, or random bytes, or a number that counts."""
    at, size = rng.randrange(len(data)), rng.choice((1, 2, 4, 8, 64))
    source = rng.randrange(len(data))
    piece = rng.choice((data[source : source + size], rng.randbytes(size), b"\xff" * size, bytes(size)))
    data[at : at + len(piece)] = piece


def duplicate(data: bytearray, rng: random.Random) -> None:
    begin = rng.randrange(len(data))
    block = data[begin : begin + rng.choice((1, 16, 256, 4096, len(data)))]
    at = rng.choice((begin, rng.randrange(len(data)), len(data)))
    data[at:at] = block


def remove(data: bytearray, rng: random.Random) -> None:
    begin = rng.randrange(len(data))
    del data[begin : begin + rng.choice((1, 4, 64, 512))]


MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    flip,
    truncate,
    splice,
    duplicate,
    remove,
)


def peak() -> int:
    """The most memory that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_files(kind, tmp_path, request):
    """A zip is refused or equal; others are always refused with a pin; all of them quickly and in little."""
    rounds, seed = request.config.getoption("fuzz_rounds"), request.config.getoption("fuzz_seed")
    torch.manual_seed(seed)
    model, path = network(), tmp_path / "c"
    state = {key: value.clone() for key, value in model.state_dict().items()}
    if kind == "safetensors":
        safetensors.torch.save_file(state, path)
    else:
        training = {"model": state, "epoch": 3, "lr": [0.1, 0.2], "name": "ä"}
        torch.save(training, path, _use_new_zipfile_serialization=kind == "zip")
    content, pin = path.read_bytes(), read_checkpoint(path).sha256
    target, rng, loaded, before = network(), random.Random(seed), 0, peak()
    for turn in range(rounds):
        damaged = bytearray(content)
        rng.choice(MUTATIONS)(damaged, rng)
        path.write_bytes(damaged)
        start = time.process_time()
        try:
            load_weights(target, read_checkpoint(path))
        except CheckpointError as error:
            assert "\n" not in str(error), turn
        else:
            loaded += 1
            assert kind != "zip" or all(torch.equal(v, state[k]) for k, v in target.state_dict().items()), (
                turn
            )
            assert damaged == content or _refused(path, pin), turn
        assert time.process_time() - start < MAX_SECONDS, turn
    assert loaded > 0, "no damage was harmless: the rounds test nothing but refusals"
    # Twice what is there for the good file: the process itself is a hundred times as large as the file.
    assert peak() - before < 64 << 20


def _refused(path, pin) -> bool:
    try:
        read_checkpoint(path, sha256=pin)
    except CheckpointError:
        return True
    return False
