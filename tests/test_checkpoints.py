"""Checkpoints are data: every form that people write is read, everything else is one clear refusal."""

import argparse
import code
import io
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import textwrap
import warnings
import zipfile
from collections import Counter, OrderedDict, defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn
from weights import equal, load, network, prefixed, trained_network

from evalkit.checkpoints.reader import read_checkpoint
from evalkit.errors import CheckpointError, ModelError


@pytest.fixture
def trained():
    return trained_network()


class CustomDict(dict):
    """A dictionary class of somebody's own."""


class Saved(NamedTuple):
    """A way to keep things together."""

    weights: dict
    epoch: int


class Plain:
    """An object of a module whose name an attack might use, too."""


Plain.__module__ = "code"
code.Plain = Plain


def quantized():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)


FORMS = {
    "state_dict": lambda s: s,
    "plain dict": dict,
    "ordered dict": OrderedDict,
    "model": lambda s: {"model": s, "epoch": 3},
    "state_dict key": lambda s: {"state_dict": s, "best_acc": np.float64(0.9)},
    "model_state_dict": lambda s: {"model_state_dict": s, "rng": torch.get_rng_state()},
    "namespace": lambda s: {"model": s, "args": argparse.Namespace(lr=0.1, path=Path("x"))},
    "nested": lambda s: {"state": {"deep": {"net": s}}},
    "in a list": lambda s: [1, {"net": s}],
    "tuple": lambda s: (s, {"loss": 0.3}),
    "module.": lambda s: {"model": prefixed(s, "module.")},
    "_orig_mod.": lambda s: prefixed(s, "_orig_mod."),
    "model.": lambda s: {"state_dict": prefixed(s, "model.")},
    "module._orig_mod.": lambda s: prefixed(s, "module._orig_mod."),
    "_orig_mod.module.model.": lambda s: prefixed(s, "_orig_mod.module.model."),
    "averaged": lambda s: {"n_averaged": torch.tensor(7), **prefixed(s, "module.")},
    "criterion beside": lambda s: {**prefixed(s, "model."), "criterion.weight": torch.ones(3)},
    "parameters": lambda s: {
        key: nn.Parameter(v, requires_grad=v.is_floating_point()) for key, v in s.items()
    },
    "optimizer": lambda s: {
        "model": s,
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(6, 4)}}, "param_groups": []},
    },
    "device and size": lambda s: {"model": s, "device": torch.device("cpu"), "size": torch.Size([4])},
    "shared storage": lambda s: {"model": s, "again": s},
    "sets and bytes": lambda s: {
        "model": s,
        "tags": {"a"},
        "frozen": frozenset({1}),
        "raw": b"x",
        "none": None,
    },
    "custom dict": CustomDict,
    "numpy rng": lambda s: {"model": s, "rng": np.random.default_rng(0), "array": np.ones(3)},
    "named tuple": lambda s: Saved(s, 3),
    "quantized beside": lambda s: {"model": s, "q": quantized()},
    "class named code": lambda s: {"model": s, "x": Plain()},
    "loss module": lambda s: {"model": s, "loss": nn.CrossEntropyLoss()},
    "lightning": lambda s: {
        "epoch": 4,
        "global_step": 400,
        "pytorch-lightning_version": "2.6.6",
        "state_dict": prefixed(s, "model."),
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 5}}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'val'}": {"best_model_score": torch.tensor(0.9)}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(6, 4)}}, "param_groups": []}],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {"lr": 1e-3, "classes": ["a", "b"], "opt": argparse.Namespace(x=1)},
    },
    "lightning with a metric": lambda s: {
        "state_dict": {
            **prefixed(s, "net."),
            "metric.total": torch.tensor(3),
            "criterion.weight": torch.ones(3),
        }
    },
    "timm": lambda s: {
        "epoch": 1,
        "arch": "x",
        "state_dict": s,
        "args": argparse.Namespace(),
        "metric": 81.2,
    },
    "tuple keys": lambda s: {"model": s, "table": {(1, 2): torch.ones(1), None: 3}},
    "defaultdict": lambda s: {"model": defaultdict(list, s), "n": Counter("abc")},
    "numpy scalars": lambda s: {"model": s, "best": np.float32(0.5), "when": np.datetime64("2026-01-01")},
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("form", FORMS)
def test_training_files_are_read(form, legacy, trained, tmp_path):
    """The weights are found in every form of file, in both of torch's containers."""
    path = tmp_path / "c.pt"
    torch.save(FORMS[form](trained.state_dict()), path, _use_new_zipfile_serialization=not legacy)
    model = network()
    loaded = load(model, path)
    assert equal(model, trained)
    assert loaded.checkpoint.contents.format == ("legacy" if legacy else "zip")
    assert loaded.checkpoint.integrity == ("not_verifiable" if legacy else "crc_verified")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol(protocol, legacy, trained, tmp_path):
    """Files of other pickle protocols hold the same weights."""
    options = {"pickle_protocol": protocol, "_use_new_zipfile_serialization": not legacy}
    torch.save({"model": trained.state_dict()}, tmp_path / "c.pt", **options)
    model = network()
    load(model, tmp_path / "c.pt")
    assert equal(model, trained)


def test_safetensors(trained, tmp_path):
    """safetensors is read by its own library, prefix and all."""
    safetensors.torch.save_file(prefixed(trained.state_dict(), "model."), tmp_path / "c.safetensors")
    model = network()
    assert load(model, tmp_path / "c.safetensors").weights.prefix == "model."
    assert equal(model, trained)


def test_views_and_layouts(tmp_path):
    """Transposed, sliced, channels-last and empty tensors come back as they were."""
    base = torch.arange(24.0).reshape(4, 6)
    state = {
        "t": base.t(),
        "s": base[1:3, 2:4],
        "c": torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last),
        "e": torch.empty(0, 3),
        "scalar": torch.tensor(2.5),
        "half": torch.ones(3, dtype=torch.bfloat16),
    }
    torch.save(state, tmp_path / "c.pt")
    checkpoint = read_checkpoint(tmp_path / "c.pt")
    for key, value in state.items():
        assert torch.equal(checkpoint.tensor(checkpoint.contents.tree[key], name=key), value), key


def test_what_was_beside_the_weights_is_listed(trained, tmp_path):
    """Objects that only their own code could rebuild are named, not rebuilt."""
    torch.save({"model": trained.state_dict(), "args": argparse.Namespace(a=1)}, tmp_path / "c.pt")
    facts = load(network(), tmp_path / "c.pt").facts()
    assert facts["not_read"] == ["argparse.Namespace"]
    assert facts["weights"] == "model"


def test_casts_are_reported(trained, tmp_path):
    """A half-precision file loads into a float32 model, and the result says so."""
    torch.save(
        {k: v.half() if v.is_floating_point() else v for k, v in trained.state_dict().items()},
        tmp_path / "c.pt",
    )
    assert load(network(), tmp_path / "c.pt").casts == {"float16 -> float32": 8}


def test_counters_of_old_files_may_be_missing(trained, tmp_path):
    """torch before 0.4.1 wrote no num_batches_tracked; nothing that is computed in eval mode needs it."""
    state = {k: v for k, v in trained.state_dict().items() if not k.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "c.pt")
    model = network()
    loaded = load(model, tmp_path / "c.pt")
    assert loaded.weights.missing_counters == ("1.num_batches_tracked",)
    assert torch.equal(model[1].running_mean, trained[1].running_mean)


REFUSED = {
    "missing key": (lambda s: {k: v for k, v in s.items() if k != "3.bias"}, "1 missing: 3.bias"),
    "unexpected key": (lambda s: {**s, "extra": torch.ones(1)}, "1 unexpected: extra"),
    "another shape": (lambda s: {**s, "3.bias": torch.ones(4)}, r"3.bias \(4,\) instead of \(3,\)"),
    "half with a prefix": (
        lambda s: {("module." if i % 2 else "") + k: v for i, (k, v) in enumerate(s.items())},
        "do not fit",
    ),
    "nan": (
        lambda s: {**s, "3.bias": torch.tensor([1.0, float("nan"), 0])},
        "NaN or infinite values in 3.bias",
    ),
    "inf": (
        lambda s: {**s, "3.bias": torch.tensor([1.0, float("inf"), 0])},
        "NaN or infinite values in 3.bias",
    ),
    "complex": (lambda s: {**s, "3.bias": torch.ones(3, dtype=torch.complex64)}, "complex"),
    "sparse": (lambda s: {**s, "3.weight": torch.eye(3, 6).to_sparse()}, "3.weight"),
    "two that fit": (lambda s: {"model": s, "model_ema": dict(s)}, r"--weights model \| model_ema"),
    "no weights": (lambda s: {"epoch": 3}, "no dictionary of tensors"),
    "negated view": (lambda s: {**s, "3.bias": torch._neg_view(torch.ones(3))}, "3.bias"),
    "expanded view": (lambda s: {**s, "3.bias": torch.ones(1).expand(3)}, "is an expanded view"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_weights_that_do_not_fit_are_refused(case, trained, tmp_path):
    """Completely or not at all: no strict=False, no guess between candidates."""
    change, message = REFUSED[case]
    torch.save(change(trained.state_dict()), tmp_path / "c.pt")
    model = network()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=message) as caught:
        load(model, tmp_path / "c.pt")
    assert "\n" not in str(caught.value)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_one_of_several_can_be_named(trained, tmp_path):
    """`--weights` takes the name that the error printed."""
    other = {key: value + 1 for key, value in trained.state_dict().items()}
    torch.save({"model": trained.state_dict(), "ema": {"shadow": other}}, tmp_path / "c.pt")
    model = network()
    load(model, tmp_path / "c.pt", weights="ema.shadow")
    assert torch.equal(model[3].bias, trained[3].bias + 1)
    with pytest.raises(CheckpointError, match="no weights named 'emma'"):
        load(model, tmp_path / "c.pt", weights="emma")


def spoil_zip(path, change):
    """Rewrite an archive entry by entry."""
    with zipfile.ZipFile(path) as archive:
        entries = [(info, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        change(archive, entries)


def compress(archive, entries):
    for info, content in entries:
        archive.writestr(info.filename, content, zipfile.ZIP_DEFLATED)


def duplicate(archive, entries):
    for info, content in entries:
        archive.writestr(info, content)
    with pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(entries[0][0].filename, entries[0][1])


def climb(archive, entries):
    for info, content in entries:
        archive.writestr(info, content)
    archive.writestr("c/../../evil", b"x")


@pytest.mark.parametrize(
    ("change", "message"), [(compress, "compressed"), (duplicate, "twice"), (climb, "unsafe name")]
)
def test_archives_that_torch_does_not_write(change, message, trained, tmp_path):
    """Bombs, doubles and climbing names end before anything is allocated."""
    torch.save(trained.state_dict(), tmp_path / "c.pt")
    spoil_zip(tmp_path / "c.pt", change)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(tmp_path / "c.pt")


FOREIGN = {
    "empty": (b"", "empty"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n", "git lfs pull"),
    "html": (b"\n<!DOCTYPE html><html>404</html>", "web page"),
    "json": (b'{"error": "not found"}', "JSON"),
    "text": (b"hello world, this is a text\n" * 9, "text file"),
    "random": (bytes(random.Random(0).randbytes(4000)), "not a checkpoint"),
    "zeros": (bytes(1000), "not a checkpoint"),
    "pickle": (pickle.dumps({"a": 1}, 4), "plain pickle"),
    "tar": (bytes(257) + b"ustar" + bytes(300), "tar format"),
    "onnx": (b"\x08\x08\x12\x07pytorch\x1a\x052.14" + bytes(range(200)), "ONNX"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(50), "HDF5"),
    "header too large": (struct.pack("<Q", 10**12) + b"{}", "not a checkpoint"),
    "header cut": (struct.pack("<Q", 4000) + b'{"a":', "safetensors"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_foreign_files(case, tmp_path):
    """Each common mistake has its own sentence."""
    content, message = FOREIGN[case]
    (tmp_path / "c.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(tmp_path / "c.pt")


def test_zip_that_is_no_checkpoint(tmp_path):
    """A valid archive without data.pkl, a program, and an npz renamed."""
    with zipfile.ZipFile(tmp_path / "c.pt", "w") as archive:
        archive.writestr("readme.txt", "x")
    with pytest.raises(CheckpointError, match=r"no data\.pkl"):
        read_checkpoint(tmp_path / "c.pt")
    np.savez(tmp_path / "d.npz", x=np.ones(3))
    with pytest.raises(CheckpointError, match=r"no data\.pkl"):
        read_checkpoint(tmp_path / "d.npz")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_programs_are_refused(trained, tmp_path):
    """TorchScript and torch.export files are programs."""
    torch.jit.save(torch.jit.trace(trained.eval(), torch.zeros(2, 4)), tmp_path / "s.pt")
    with pytest.raises(CheckpointError, match="TorchScript"):
        read_checkpoint(tmp_path / "s.pt")
    torch.export.save(torch.export.export(trained.eval(), (torch.zeros(2, 4),)), tmp_path / "e.pt2")
    with pytest.raises(CheckpointError, match=r"torch\.export"):
        read_checkpoint(tmp_path / "e.pt2")


def test_paths(tmp_path):
    """Missing, a folder, a FIFO: refused at once; odd names work."""
    with pytest.raises(CheckpointError, match="No such file"):
        read_checkpoint(tmp_path / "none.pt")
    with pytest.raises(CheckpointError, match="not a file"):
        read_checkpoint(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(CheckpointError, match="not a file"):
        read_checkpoint(tmp_path / "fifo")
    odd = tmp_path / "a b\n\udcff.pt"
    buffer = io.BytesIO()
    torch.save({"w": torch.ones(1)}, buffer)
    odd.write_bytes(buffer.getvalue())
    assert read_checkpoint(odd).contents.format == "zip"


@pytest.mark.parametrize("share", [0.01, 0.22, 0.5, 0.99])
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_truncated(share, kind, trained, tmp_path):
    """A file that was cut off is refused, wherever the cut."""
    path = written(kind, trained, tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: max(1, int(len(content) * share))])
    with pytest.raises(CheckpointError):
        load(network(), path)


def written(kind, model, folder):
    path = folder / f"c.{kind}"
    if kind == "safetensors":
        safetensors.torch.save_file(model.state_dict(), path)
    else:
        torch.save(model.state_dict(), path, _use_new_zipfile_serialization=kind == "zip")
    return path


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_bit_flips(kind, trained, tmp_path):
    """A flipped bit in a zip is refused or harmless; elsewhere a pin refuses it, and nothing crashes."""
    path = written(kind, trained, tmp_path)
    content, pin = path.read_bytes(), read_checkpoint(path).sha256
    rng = random.Random(7)
    for _ in range(300):
        spoiled = bytearray(content)
        spoiled[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(spoiled)
        model = network()
        try:
            load(model, path)
        except CheckpointError:
            continue
        assert kind != "zip" or equal(model, trained)
        with pytest.raises(CheckpointError, match="sha256"):
            read_checkpoint(path, sha256=pin)


def test_crc_mismatch_names_the_entry(trained, tmp_path):
    """One flipped bit in the weights: torch.load would not see it."""
    path = written("zip", trained, tmp_path)
    content = bytearray(path.read_bytes())
    where = content.index(trained[0].weight.detach().numpy().tobytes())
    content[where] ^= 1
    path.write_bytes(content)
    torch.load(path, weights_only=True)
    with pytest.raises(CheckpointError, match=r"CRC mismatch in .*data/0"):
        read_checkpoint(path)


def test_without_checksums_it_is_said(trained, tmp_path):
    """Files written without CRCs load; the result says that nothing was verified."""
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(trained.state_dict(), tmp_path / "c.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert read_checkpoint(tmp_path / "c.pt").integrity == "crc_not_recorded"


class Opens:
    """A payload that would leave a marker if anything ran it."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    "function", [os.system, open, exec, subprocess.call, __import__], ids=lambda f: f.__name__
)
def test_hostile_pickles_run_nothing(function, legacy, trained, tmp_path, monkeypatch):
    """A file that calls what only an attack calls is refused, and nothing was run."""
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    marker = tmp_path / "marker"
    words = {os.system: f"touch {marker}", exec: f"open({str(marker)!r}, 'w')", __import__: "antigravity"}
    arguments = (str(marker), "w") if function is open else (words.get(function, f"touch {marker}"),)
    payload = {"model": trained.state_dict(), "x": Opens(function, *arguments)}
    torch.save(payload, tmp_path / "c.pt", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match="hostile"):
        load(network(), tmp_path / "c.pt")
    assert not marker.exists()


def test_nothing_a_file_names_is_imported(trained, tmp_path):
    """A module named in a checkpoint is not imported, in a fresh process under an audit hook."""
    (tmp_path / "surprise.py").write_text("class Thing:\n    pass\n")
    script = """
        import sys; sys.path.insert(0, ".")
        import surprise, torch
        torch.save({"w": torch.ones(2), "x": surprise.Thing()}, "c.pt")
        del sys.modules["surprise"]
        import evalkit.checkpoints.reader as reader
        seen = []
        sys.addaudithook(lambda event, args: seen.append(args[0]) if event == "import" else None)
        checkpoint = reader.read_checkpoint(__import__("pathlib").Path("c.pt"))
        assert checkpoint.contents.opaque == ("surprise.Thing",), checkpoint.contents.opaque
        assert "surprise" not in sys.modules and "surprise" not in seen
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_safetensors_with_a_name_twice(tmp_path):
    """A header in which the second entry would silently win."""
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    header = f'{{"a": {json.dumps(entry)}, "a": {json.dumps(entry)}}}'.encode()
    (tmp_path / "c.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(CheckpointError, match="twice"):
        read_checkpoint(tmp_path / "c.safetensors")


def test_pin(trained, tmp_path):
    """The pinned digest is compared before anything is read."""
    path = written("zip", trained, tmp_path)
    pin = read_checkpoint(path).sha256
    assert read_checkpoint(path, sha256=pin.upper()).sha256 == pin
    with pytest.raises(CheckpointError, match="pins"):
        read_checkpoint(path, sha256="0" * 64)


class WithExtraState(nn.Linear):
    def get_extra_state(self):
        return {"shift": 2}

    def set_extra_state(self, state):
        self.shift = state["shift"]


def meta():
    with torch.device("meta"):
        return network()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: nn.LazyLinear(3), "no shape yet"),
        (meta, "meta device"),
        (lambda: WithExtraState(4, 3), "no tensor.*_extra_state"),
    ],
)
@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_models_that_no_file_could_fill(build, message, trained, tmp_path):
    """Completely or not at all: what cannot be filled is a usage error, not a default."""
    path = written("zip", trained, tmp_path)
    with pytest.raises(ModelError, match=message):
        load(build(), path)
