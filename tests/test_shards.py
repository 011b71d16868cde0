"""Weights in several files, in the other byte order, in other types, and views as old files have them."""

import json
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch
from attacks.files import archive, call, good_parts, integer, name, text
from torch import nn
from weights import equal, load, network, prefixed, trained_network

from evalkit.checkpoints.reader import read_checkpoint
from evalkit.checkpoints.shards import digest_of
from evalkit.errors import CheckpointError


@pytest.fixture
def trained():
    return trained_network()


def sharded(state, folder, *, torch_format=False):
    """Write two shards and their index as Hugging Face does."""
    keys, files = list(state), {}
    for number, part in enumerate((keys[:3], keys[3:])):
        name = f"model-{number}.{'bin' if torch_format else 'safetensors'}"
        held = {key: state[key] for key in part}
        torch.save(held, folder / name) if torch_format else safetensors.torch.save_file(held, folder / name)
        files |= dict.fromkeys(part, name)
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": files}))
    return path


@pytest.mark.parametrize("torch_format", [False, True])
def test_shards_are_one_checkpoint(torch_format, trained, tmp_path):
    """Read, matched and hashed as one; the pin is over what sha256sum prints of all files."""
    path = sharded(prefixed(trained.state_dict(), "model."), tmp_path, torch_format=torch_format)
    model = network()
    loaded = load(model, path)
    assert equal(model, trained)
    facts = loaded.facts()
    assert facts["format"] == f"sharded {'zip' if torch_format else 'safetensors'}"
    assert facts["file_integrity"] == ("crc_verified" if torch_format else "not_verifiable")
    digests = {file.name: read_digest(file) for file in tmp_path.iterdir()}
    assert loaded.checkpoint.sha256 == digest_of(digests)
    assert facts["n_bytes"] == sum(file.stat().st_size for file in tmp_path.iterdir())
    with pytest.raises(CheckpointError, match="pins"):
        read_checkpoint(path, sha256="0" * 64)


def read_digest(path):
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "model-1.safetensors").unlink(), "cannot be read"),
        (lambda folder: (folder / "model-1.safetensors").write_bytes(b""), "empty"),
        (
            lambda folder: safetensors.torch.save_file({"x": torch.ones(1)}, folder / "model-1.safetensors"),
            "differ",
        ),
        (
            lambda folder: torch.save(
                {
                    key: torch.ones(1)
                    for key in json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
                },
                folder / "model-0.safetensors",
            ),
            "differ",
        ),
        (lambda folder: (folder / "model.safetensors.index.json").write_text('{"weight_map": 3}'), "damaged"),
    ],
)
def test_broken_shards_are_refused(change, message, trained, tmp_path):
    """A file missing, empty, of other tensors; a damaged index."""
    path = sharded(trained.state_dict(), tmp_path)
    change(tmp_path)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(path)


def test_a_folder_names_its_index(trained, tmp_path):
    """A folder is no checkpoint; the message says what in it is."""
    path = sharded(trained.state_dict(), tmp_path)
    with pytest.raises(CheckpointError, match="is not a file") as caught:
        read_checkpoint(tmp_path)
    assert str(path) in str(caught.value)


def test_big_endian_files(trained, tmp_path):
    """Every element turned round, as a big-endian machine writes it, comes back as it was."""
    state = {**trained.state_dict(), "half": torch.arange(5).half(), "byte": torch.arange(5).byte()}
    torch.save(state, tmp_path / "little.pt")
    sizes = {}
    checkpoint = read_checkpoint(tmp_path / "little.pt")
    for tensor in checkpoint.contents.tree.values():
        sizes[tensor.storage.key] = getattr(torch, tensor.dtype).itemsize
    with zipfile.ZipFile(tmp_path / "little.pt") as source:
        parts = {info.filename: source.read(info) for info in source.infolist()}
    with zipfile.ZipFile(tmp_path / "big.pt", "w") as target:
        for key, raw in parts.items():
            size = sizes.get(key.rpartition("/data/")[2], 0) if "/data/" in key else 0
            swapped = (
                np.frombuffer(raw, f"V{size}").view(np.uint8).reshape(-1, size)[:, ::-1] if size else raw
            )
            target.writestr(
                key, b"big" if key.endswith("byteorder") else bytes(swapped.tobytes() if size else raw)
            )
    big = read_checkpoint(tmp_path / "big.pt")
    assert big.contents.byteorder == "big"
    for key, value in state.items():
        assert torch.equal(big.tensor(big.contents.tree[key], name=key), value), key
    loaded_by_torch = torch.load(tmp_path / "big.pt", weights_only=True)
    assert all(torch.equal(loaded_by_torch[key], value) for key, value in state.items())


def test_views_of_storages(tmp_path):
    """Files of torch 0.3 describe a part of a storage as (key, offset, size)."""
    pickled, storages = good_parts()
    view = b"(" + text("part") + integer(2) + integer(3) + b"t"
    described = b"(" + text("storage") + name("torch", "FloatStorage") + text("ours") + text("cpu")
    described += integer(5) + view + b"tQ"
    tensor = call(
        name("torch._utils", "_rebuild_tensor"), described, integer(0), b"(" + integer(3) + b"t",
        b"(" + integer(1) + b"t",
    )  # fmt: skip
    raw = np.arange(5, dtype=np.float32).tobytes()
    archive(tmp_path / "c.pt", pickled + text("3.bias") + tensor + b"s.", {**storages, "ours": raw})
    checkpoint = read_checkpoint(tmp_path / "c.pt")
    assert checkpoint.tensor(checkpoint.contents.tree["3.bias"], name="b").tolist() == [2, 3, 4]


CASTS = {
    "float16": (torch.float16, torch.float32, None),
    "bfloat16": (torch.bfloat16, torch.float32, None),
    "float8": (torch.float8_e4m3fn, torch.float32, None),
    "float8 fnuz": (torch.float8_e5m2fnuz, torch.float32, None),
    "float64": (torch.float64, torch.float32, None),
    "narrower": (torch.float32, torch.float16, None),
    "integers": (torch.int64, torch.float32, None),
    "too large": (torch.float32, torch.float16, lambda v: v.fill_(1e6)),
    "not whole": (torch.float32, torch.int64, lambda v: v.fill_(0.5)),
}


@pytest.mark.parametrize("case", CASTS)
def test_types_are_converted_or_refused(case, tmp_path):
    """A conversion is reported; one that would lose a value is refused, naming the tensor."""
    stored, own, change = CASTS[case]
    model = nn.Module()
    model.register_buffer("weight", torch.zeros(4).to(own))
    value = torch.tensor([1.0, 2.0, -1.0, 0.0])
    if change is not None:
        change(value)
    torch.save({"weight": value.to(stored)}, tmp_path / "c.pt")
    if change is None:
        loaded = load(model, tmp_path / "c.pt")
        assert loaded.casts == {f"{str(stored)[6:]} -> {str(own)[6:]}": 1}
        assert model.weight.float().tolist() == [1, 2, -1, 0]
    else:
        with pytest.raises(CheckpointError, match="values would be lost in .*: weight"):
            load(model, tmp_path / "c.pt")
