"""Lightning's Trainer: the best checkpoint becomes a run, and nothing else changes."""

import copy
import hashlib
import os
import random
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import evalkit
from evalkit.errors import CheckpointError, EvalkitError, ModelError, OutputError, SpecificationError
from evalkit.result import read_result

if os.environ.get("CI") == "true":
    import lightning.pytorch as pl
else:
    pl = pytest.importorskip("lightning.pytorch", reason="needs the extra lightning")

from lightning.pytorch.callbacks import ModelCheckpoint

from evalkit.lightning import SaveRun

# Foreign words about this machine and these tiny loops.
pytestmark = [
    pytest.mark.filterwarnings(r"ignore:.*does not have many workers:UserWarning"),
    pytest.mark.filterwarnings(r"ignore:GPU available but not used:UserWarning"),
    pytest.mark.filterwarnings(r"ignore:.*LeafSpec.*is deprecated"),  # Lightning's, of torch's own trees
]

NAMES = ["ant", "bee", "cat"]


class Net(pl.LightningModule):
    """BatchNorm and Dropout; the monitored value says that the first epoch is the best."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3)
        )

    def forward(self, x):
        return self.body(x)

    def training_step(self, batch):
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def on_train_epoch_end(self):
        self.log_dict({"worse": float(self.current_epoch), "val_loss": float(self.current_epoch)})

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


def samples(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, 4)).astype(np.float32)
    return TensorDataset(torch.from_numpy(x), torch.from_numpy(rng.integers(0, 3, 60)))


def fitted(folder, *callbacks, best=True, **options):
    torch.manual_seed(0)
    module = Net()
    keeps = [ModelCheckpoint(folder, monitor="worse", mode="min")] if best else []
    trainer = pl.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=best, default_root_dir=folder, callbacks=[*keeps, *callbacks], log_every_n_steps=1,
        **options,
    )  # fmt: skip
    trainer.fit(module, DataLoader(samples(0), batch_size=20))
    return trainer, module


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A trainer after two epochs, the first being the best; shared, because nobody changes it."""
    return fitted(tmp_path_factory.mktemp("checkpoints"))


def best_of(trainer, module):
    """The module that plain torch loads."""
    found = torch.load(trainer.checkpoint_callback.best_model_path, weights_only=False)
    other = Net()
    other.load_state_dict(found["state_dict"])
    return other


def bits(trainer, module):
    """Whatever the callback must not change."""
    return {
        "values": {name: value.clone() for name, value in module.state_dict().items()},
        "places": {name: value.data_ptr() for name, value in module.state_dict().items()},
        "modes": [part.training for part in module.modules()],
        "gradients": [(value.requires_grad, value.grad is None) for value in module.parameters()],
        "hooks": [len(part._forward_pre_hooks) for part in module.modules()],
        "random": (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()),  # noqa: NPY002 - the global one
        "trainer": (copy.deepcopy(trainer.state), trainer.global_step, trainer.current_epoch),
        "flags": (torch.is_grad_enabled(), torch.backends.cudnn.deterministic, module.trainer is trainer),
    }


def assert_same(before, after):
    torch.testing.assert_close(after.pop("values"), before.pop("values"), rtol=0, atol=0)
    (torch_s, *others), (torch_before, *others_before) = after.pop("random"), before.pop("random")
    assert torch.equal(torch_s, torch_before)
    assert others == others_before
    assert after == before


def numbers(result):
    return result.document.counts, result.value("log_loss")


def test_fit_leaves_the_run_of_the_best_checkpoint(tmp_path):
    """evaluate() of the best weights, not of the last; documents, digests, and the same training."""
    data = samples(1)
    callback = SaveRun(data, tmp_path / "run", class_names=NAMES)
    trainer, module = fitted(tmp_path / "checkpoints", callback)
    drawn = torch.rand(1)
    best = evalkit.evaluate(best_of(trainer, module), data, class_names=NAMES)
    assert numbers(callback.result) == numbers(best)
    assert numbers(callback.result) != numbers(evalkit.evaluate(module, data, class_names=NAMES))
    document = read_result(tmp_path / "run")
    assert document == callback.result.document
    path = Path(trainer.checkpoint_callback.best_model_path)
    assert document.digests["weights"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert document.digests["parameters"] == best.document.digests["parameters"]
    assert (document.name, document.model["format"], document.model["weights"]) == (
        "run",
        "zip",
        "state_dict",
    )
    assert document.model["origin"] == f"the best checkpoint by worse (0), {path.name}"
    assert {"result.json", "verdict.json", "report.html", "predictions.parquet"} == {
        file.name for file in (tmp_path / "run").iterdir()
    }
    assert b"the best checkpoint by worse (0)" in (tmp_path / "run/report.html").read_bytes()
    _, plain = fitted(tmp_path / "again")
    torch.testing.assert_close(module.state_dict(), plain.state_dict(), rtol=0, atol=0)
    assert drawn == torch.rand(1)


def test_module_trainer_and_random_numbers_are_untouched(tmp_path, trained):
    """To the bit, also where some parts are in eval mode and the data draw random numbers."""
    trainer, module = trained
    module.body[1].eval()
    data = samples(1)

    def given():
        torch.rand(3), random.random(), np.random.rand()  # noqa: NPY002 - what must be given back
        return DataLoader(data, batch_size=7, shuffle=True)

    before = bits(trainer, module)
    callback = SaveRun(given, tmp_path / "run", class_names=NAMES)
    callback.on_fit_end(trainer, module)
    assert_same(before, bits(trainer, module))
    assert callback.result.document.n_samples == 60
    module.body[1].train()


def test_the_comparison_of_bits_can_fail(trained):
    """One mode, one draw."""
    trainer, module = trained
    before = bits(trainer, module)
    torch.rand(1)
    with pytest.raises(AssertionError):
        assert_same(before, bits(trainer, module))


def test_the_gate_knows_the_model(tmp_path, trained, evalkit):
    """A run of the same file by the command line is the same model."""
    SaveRun(samples(1), tmp_path / "run", class_names=NAMES).on_fit_end(*trained)
    x, y = samples(1).tensors
    np.savez(tmp_path / "test.npz", x=x, y=y)
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.body = nn.Sequential(\n"
        "            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))\n"
        "    def forward(self, x):\n"
        "        return self.body(x)\n"
    )
    path = trained[0].checkpoint_callback.best_model_path
    (tmp_path / "eval.yaml").write_text(
        f"model: {{factory: 'net:Net', checkpoint: '{path}', classes: [ant, bee, cat]}}\n"
        "data: {source: npz, path: test.npz}\n"
    )
    assert evalkit("run", tmp_path / "eval.yaml", "-o", tmp_path / "command", "--quiet")[0] == 0
    ours, theirs = read_result(tmp_path / "run"), read_result(tmp_path / "command")
    assert ours.digests == theirs.digests
    assert ours.counts == theirs.counts
    (tmp_path / "gates.yaml").write_text("gates: [{metric: accuracy, max_drop: 0.01}]\n")
    words = ("--gates", tmp_path / "gates.yaml", "--baseline", tmp_path / "command")
    code, _, err = evalkit("gate", tmp_path / "run", *words)
    assert (code, "same-model" in err) == (4, True)


def test_without_a_best_checkpoint_the_document_says_so(tmp_path):
    """The weights of the end, in the facts and among the checks."""
    callback = SaveRun(samples(1), tmp_path / "run", class_names=NAMES, name="plain")
    _, module = fitted(tmp_path / "root", callback, best=False)
    assert numbers(callback.result) == numbers(evalkit.evaluate(module, samples(1), class_names=NAMES))
    document = read_result(tmp_path / "run")
    words = "the weights of the end of training, because the trainer has no best checkpoint"
    assert document.model["origin"] == words
    assert document.digests["weights"] is None
    (row,) = (row for row in document.integrity if row.check == "file_integrity")
    assert (row.status, row.detail) == ("warn", f"no checkpoint was read: {words}")
    assert words.encode() in (tmp_path / "run/report.html").read_bytes()
    assert document.name == "plain"


def test_what_nobody_monitors_is_not_called_the_best(trained):
    """The last checkpoint, and said."""
    from evalkit.lightning import _best

    trainer, _ = fitted_stub(trained, monitor=None)
    assert _best(trainer)[1].startswith("the last checkpoint, epoch=")


def fitted_stub(trained, *, monitor):
    """The same trainer with another word on what is monitored."""
    trainer, module = trained
    callback = copy.copy(trainer.checkpoint_callback)
    callback.monitor = monitor
    return type("Stub", (), {"checkpoint_callback": callback})(), module


def test_the_readme_says_how(tmp_path, monkeypatch, readme_python):
    """Its block, run as it stands, over a LightningDataModule."""

    class Data(pl.LightningDataModule):
        def train_dataloader(self):
            return DataLoader(samples(0), batch_size=20, shuffle=True)

        def test_dataloader(self):
            return DataLoader(samples(1), batch_size=20)

    monkeypatch.chdir(tmp_path)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    names = {
        "datamodule": Data(),
        "module": Net(),
        "ModelCheckpoint": ModelCheckpoint,
        "Trainer": partial(pl.Trainer, accelerator="cpu", log_every_n_steps=1, **quiet),
    }
    exec(readme_python("evalkit.lightning"), names)
    assert read_result(tmp_path / "out/model") == names["save"].result.document
    assert names["save"].result.document.model["origin"].startswith("the best checkpoint by val_loss (0)")


def test_names_may_hold_anything(tmp_path, trained):
    """A folder's name, a monitored name: neither markup nor a line of its own in the page."""
    name = "<script>a\n::error::b\udc80" + "x" * 150
    trainer, module = trained
    callback = SaveRun(samples(1), tmp_path / name, class_names=NAMES)
    trainer.checkpoint_callback.monitor = "<script>loss\udc80"
    try:
        callback.on_fit_end(trainer, module)
    finally:
        trainer.checkpoint_callback.monitor = "worse"
    page = (tmp_path / name / "report.html").read_text()
    assert "<script>a" not in page
    assert "<script>loss" not in page
    assert "best checkpoint by &lt;script&gt;loss" in page
    assert read_result(tmp_path / name).name == name.replace("\udc80", "\\udc80")


def test_other_ranks_do_nothing(tmp_path, trained, monkeypatch):
    """No data, no folder, no waiting."""
    trainer, module = trained
    monkeypatch.setattr(type(trainer.strategy), "is_global_zero", property(lambda _: False))
    monkeypatch.setattr(type(trainer.strategy), "barrier", lambda *_: pytest.fail("waited for others"))
    callback = SaveRun(lambda: pytest.fail("asked for data"), tmp_path / "run", class_names=NAMES)
    callback.on_fit_end(trainer, module)
    assert callback.result is None
    assert not (tmp_path / "run").exists()


def changed(trained, folder, change):
    """The same trainer, its best checkpoint being another file."""
    trainer, module = trained
    content = torch.load(trainer.checkpoint_callback.best_model_path, weights_only=False)
    change(content)
    torch.save(content, folder / "other.ckpt")
    callback = copy.copy(trainer.checkpoint_callback)
    callback.best_model_path = str(folder / "other.ckpt")
    return [callback if one is trainer.checkpoint_callback else one for one in trainer.callbacks]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["state_dict"].pop("body.4.bias"), r"1 missing: body\.4\.bias"),
        (lambda c: c["state_dict"].pop("body.1.num_batches_tracked"), r"1 missing: body\.1\.num_batches"),
        (lambda c: c["state_dict"].update(extra=torch.ones(1)), "1 unexpected: extra"),
        (lambda c: c.pop("state_dict"), "has no state_dict"),
        (
            lambda c: c.update(state_dict={f"model.{k}": v for k, v in c["state_dict"].items()}),
            r"under another name: model\.body",
        ),
        (lambda c: c["state_dict"]["body.4.bias"].fill_(float("nan")), "NaN or infinite"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path, trained, monkeypatch, change, words):
    """A key too few, one too many, another name, no number: never a partial load, and no run."""
    trainer, module = trained
    monkeypatch.setattr(trainer, "callbacks", changed(trained, tmp_path, change))
    before = bits(trainer, module)
    callback = SaveRun(samples(1), tmp_path / "run", class_names=NAMES)
    with pytest.raises(CheckpointError, match=words):
        callback.on_fit_end(trainer, module)
    assert callback.result is None
    assert not (tmp_path / "run").exists()
    assert_same(before, bits(trainer, module))


def test_other_weights_of_the_file_do_not_count(tmp_path, trained, monkeypatch):
    """What an average keeps beside the module's own is not looked at."""
    trainer, module = trained
    ema = lambda c: c.update(ema={k: torch.zeros_like(v) for k, v in c["state_dict"].items()})  # noqa: E731
    monkeypatch.setattr(trainer, "callbacks", changed(trained, tmp_path, ema))
    callback = SaveRun(samples(1), tmp_path / "run", class_names=NAMES)
    callback.on_fit_end(trainer, module)
    best = evalkit.evaluate(best_of(trainer, module), samples(1), class_names=NAMES)
    assert numbers(callback.result) == numbers(best)


def test_an_error_ends_fit_or_is_a_warning(tmp_path):
    """The checkpoints are there either way."""
    refused = {"data": lambda: 1 / 0, "class_names": NAMES}
    with pytest.raises(EvalkitError, match="data: raised ZeroDivisionError"):
        fitted(tmp_path / "a", SaveRun(directory=tmp_path / "run", **refused))
    assert list((tmp_path / "a").glob("*.ckpt"))
    callback = SaveRun(directory=tmp_path / "run", on_error="warn", **refused)
    with pytest.warns(UserWarning, match="data: raised ZeroDivisionError.*is as it was"):
        trainer, _ = fitted(tmp_path / "b", callback)
    assert (callback.result, trainer.state.status) == (None, "finished")
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_meant_is_refused_before_training(tmp_path):
    """Options, metrics, and the folder."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("mine")
    with pytest.raises(TypeError, match="ouput"):
        SaveRun(samples(1), tmp_path / "run", ouput="logits")
    with pytest.raises(SpecificationError, match="did you mean 'accuracy'"):
        SaveRun(samples(1), tmp_path / "run", class_names=NAMES, metrics={"names": ["acuracy"]})
    with pytest.raises(SpecificationError, match="did you mean 'interval'"):
        SaveRun(samples(1), tmp_path / "run", metrics={"intervall": 0.9})
    with pytest.raises(SpecificationError, match="on_error"):
        SaveRun(samples(1), tmp_path / "run", on_error="ignore")
    with pytest.raises(OutputError, match="not evalkit's"):
        SaveRun(samples(1), tmp_path / "mine")


def test_a_part_of_the_module(tmp_path, trained):
    """Of the copy; anything else would have other weights than the document says."""
    trainer, module = trained
    whole = SaveRun(samples(1), tmp_path / "whole", class_names=NAMES)
    part = SaveRun(samples(1), tmp_path / "part", class_names=NAMES, module=lambda m: m.body)
    for callback in (whole, part):
        callback.on_fit_end(trainer, module)
    assert numbers(part.result) == numbers(whole.result)
    for other in (lambda _: module.body, lambda _: nn.Linear(4, 3), lambda _: print):
        callback = SaveRun(samples(1), tmp_path / "part", class_names=NAMES, module=other)
        with pytest.raises(ModelError, match="something else than a part"):
            callback.on_fit_end(trainer, module)


def test_a_copy_that_calls_the_first_module_is_refused(tmp_path, trained, monkeypatch):
    """A function in the place of forward holds the weights of the end of training."""
    trainer, module = trained
    first = module.forward
    monkeypatch.setattr(module, "forward", lambda x: first(x) * 1, raising=False)
    with pytest.raises(ModelError, match="calls the Sequential that was trained"):
        SaveRun(samples(1), tmp_path / "run", class_names=NAMES).on_fit_end(trainer, module)
    assert isinstance(module(torch.zeros(2, 4)), torch.Tensor)


def test_a_module_that_cannot_be_copied(tmp_path, trained, monkeypatch):
    """Said in one sentence."""
    trainer, module = trained
    monkeypatch.setattr(module, "stream", (k for k in range(3)), raising=False)
    with pytest.raises(ModelError, match="cannot be copied: TypeError"):
        SaveRun(samples(1), tmp_path / "run", class_names=NAMES).on_fit_end(trainer, module)


def test_a_rehearsal_writes_nothing(tmp_path):
    """fast_dev_run trains on one batch: it must not replace a run."""
    callback = SaveRun(samples(1), tmp_path / "run", class_names=NAMES)
    fitted(tmp_path / "root", callback, best=False, fast_dev_run=True)
    assert callback.result.document.n_samples == 60
    assert not (tmp_path / "run").exists()


def test_without_lightning_one_line_says_what_to_install(monkeypatch):
    """evalkit itself needs none of it."""
    import importlib
    import sys

    monkeypatch.setitem(sys.modules, "lightning.pytorch", None)
    monkeypatch.delitem(sys.modules, "evalkit.lightning")
    with pytest.raises(ImportError, match=r"needs lightning: pip install 'torch-evalkit\[lightning\]'"):
        importlib.import_module("evalkit.lightning")
