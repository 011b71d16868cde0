"""The Trainer of Hugging Face transformers: its best checkpoint becomes a run, and nothing else changes."""

import copy
import hashlib
import os
import random
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import Dataset

import evalkit
from evalkit.errors import CheckpointError, EvalkitError, OutputError, SpecificationError
from evalkit.result import read_result

if os.environ.get("CI") == "true":
    import accelerate  # noqa: F401 - what the Trainer stands on
    import transformers
else:
    transformers = pytest.importorskip("transformers", reason="needs the extra transformers")
    pytest.importorskip("accelerate", reason="transformers' Trainer needs accelerate")

from evalkit.hf import save_run

# torch's, of a loader that pins memory on a machine without a GPU.
pytestmark = pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true:UserWarning")

NAMES = ["bad", "fair", "good"]
SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


class Texts(Dataset):
    """Token ids with a text that no collator could join, and an attribute."""

    def __init__(self, seed, n=36):
        rng = np.random.default_rng(seed)
        self.ids, self.labels = rng.integers(3, 50, (n, 6)), rng.integers(0, 3, n)
        self.ids[:, -1] = 2  # BART wants the end of a sentence

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, i):
        return {
            "input_ids": torch.from_numpy(self.ids[i]),
            "label": int(self.labels[i]),
            "text": f"review {i}",
            "site": i % 2,
        }


class Pictures(Dataset):
    """Pixels, as an image processor leaves them."""

    def __init__(self, seed, n=24):
        rng = np.random.default_rng(seed)
        self.x, self.labels = rng.normal(size=(n, 3, 8, 8)).astype(np.float32), rng.integers(0, 3, n)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return {"pixel_values": torch.from_numpy(self.x[i]), "labels": int(self.labels[i])}


class Rated(transformers.BertForSequenceClassification):
    """Dropout from BERT, and BatchNorm before the head."""

    def __init__(self, config):
        super().__init__(config)
        self.classifier = nn.Sequential(nn.BatchNorm1d(16), nn.Linear(16, 3))


def names_by_index():
    return {"id2label": dict(enumerate(NAMES)), "label2id": {name: k for k, name in enumerate(NAMES)}}


def bert():
    return Rated(transformers.BertConfig(vocab_size=50, **SIZES, **names_by_index()))


def bart():
    """Three names for one embedding, and a head of one's own, which the class does not know."""
    sizes = {f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in
             [("layers", 1), ("attention_heads", 2), ("ffn_dim", 16)]}  # fmt: skip
    config = transformers.BartConfig(vocab_size=50, d_model=16, **sizes, **names_by_index())
    model = transformers.BartForSequenceClassification(config)
    model.classification_head = nn.Sequential(nn.BatchNorm1d(16), nn.Linear(16, 3))
    return model


def vit():
    """Written under the names of earlier versions of transformers."""
    config = transformers.ViTConfig(image_size=8, patch_size=4, **SIZES, **names_by_index())
    return transformers.ViTForImageClassification(config)


def fitted(folder, model, data, **options):
    """Two epochs, of which the monitored value says that the first was the best."""
    torch.manual_seed(0)
    epochs = iter((1.0, 0.0))
    asked = {
        "eval_strategy": "epoch", "save_strategy": "epoch", "metric_for_best_model": "told",
        "greater_is_better": True, **options,
    }  # fmt: skip
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), num_train_epochs=2, learning_rate=0.05, per_device_train_batch_size=12,
        per_device_eval_batch_size=12, report_to=[], disable_tqdm=True, use_cpu=True, seed=0,
        logging_strategy="no", **asked,
    )  # fmt: skip
    trainer = transformers.Trainer(
        model(), arguments, train_dataset=data(0), eval_dataset=data(1),
        compute_metrics=lambda _: {"told": next(epochs)},
    )  # fmt: skip
    trainer.train()
    return trainer


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    """No test asks the network."""
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("the network was asked"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A trainer after training; shared, because nobody changes it."""
    return fitted(tmp_path_factory.mktemp("checkpoints"), bert, Texts)


def best_folder(trainer):
    return Path(trainer.state.best_model_checkpoint)


def by_hand(model, data):
    """Counts of a plain loop over transformers' own forward."""
    model.eval()
    counts = np.zeros((3, 3), int)
    with torch.no_grad():
        for item in data:
            fed = {key: item[key][None] for key in ("input_ids", "pixel_values") if key in item}
            counts[item.get("label", item.get("labels")), model(**fed).logits.argmax(1).item()] += 1
    return counts.tolist()


def counts_of(result):
    return result.document.confusion.matrix.tolist()


def bits(trainer):
    model = trainer.model
    return {
        "values": {name: value.clone() for name, value in model.state_dict().items()},
        "places": {name: value.data_ptr() for name, value in model.state_dict().items()},
        "modes": [part.training for part in model.modules()],
        "gradients": [(value.requires_grad, value.grad is None) for value in model.parameters()],
        "random": torch.get_rng_state(),
        "others": (random.getstate(), np.random.get_state()[1].tolist()),  # noqa: NPY002 - the global one
        "state": copy.deepcopy(trainer.state),
        "config": model.config.to_dict(),
        "columns": trainer._signature_columns,
        "is": (id(trainer.model), id(trainer.model_wrapped), trainer.args.to_dict()),
    }


def assert_same(before, after):
    for name in ("values", "random"):
        torch.testing.assert_close(after.pop(name), before.pop(name), rtol=0, atol=0)
    assert after == before


def test_the_run_of_the_best_checkpoint(tmp_path, trained):
    """Not of the last one; names, labels, collator and columns as the Trainer has them; nothing changed."""
    trained.model.train()
    before = bits(trained)
    result = save_run(trained, Texts(2), tmp_path / "run", slices=["site"], attributes="site")
    assert_same(before, bits(trained))
    best = bert()
    best.load_state_dict(load_file(best_folder(trained) / "model.safetensors"))
    last = copy.deepcopy(trained.model)
    assert counts_of(result) == by_hand(best, Texts(2)) != by_hand(last, Texts(2))
    document = read_result(tmp_path / "run")
    assert document == result.document
    file = best_folder(trained) / "model.safetensors"
    assert document.digests["weights"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert document.class_names == tuple(NAMES)
    assert document.model["origin"] == f"the best checkpoint by told (1.0), {file.parent.name}"
    assert document.model["format"] == "safetensors"
    assert {row.slice["site"] for row in document.slices} == {0, 1}
    assert document.run["batch_size"] == 12


def test_the_same_as_evaluate(tmp_path, trained):
    """Every number, and the digests of data, inputs and parameters."""
    result = save_run(trained, lambda: Texts(2), tmp_path / "run", batch_size=7)
    best = bert()
    best.load_state_dict(load_file(best_folder(trained) / "model.safetensors"))
    plain = evalkit.evaluate(best, Texts(2), labels="label", inputs="input_ids", batch_size=7)
    assert result.document.metrics == plain.document.metrics
    assert {**result.document.digests, "weights": None} == plain.document.digests


@pytest.mark.parametrize(("model", "data"), [(bart, Texts), (vit, Pictures)])
def test_files_with_other_names_than_the_model(tmp_path, model, data):
    """One tensor under three names, held once; a ViT under names of earlier versions."""
    trainer = fitted(tmp_path / "checkpoints", model, data)
    before = bits(trainer)
    file = best_folder(trainer) / "model.safetensors"
    assert load_file(file).keys() != before["values"].keys()
    found = save_run(trainer, data(2), tmp_path / "run").document
    assert_same(before, bits(trainer))
    best = model()
    if model is bart:
        best.load_state_dict(load_file(file), strict=False)  # what it does not hold is the same tensor
    else:
        best = type(best).from_pretrained(best_folder(trainer))
    fed = {"labels": None if data is Pictures else "label", "inputs": trainer.model.main_input_name}
    plain = evalkit.evaluate(best, data(2), batch_size=12, **fed).document
    last = evalkit.evaluate(copy.deepcopy(trainer.model), data(2), batch_size=12, **fed).document
    assert found.metrics == plain.metrics != last.metrics
    assert {**found.digests, "weights": None} == plain.digests
    assert found.digests["weights"] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_without_a_best_checkpoint_the_document_says_so(tmp_path):
    """The current weights, in the facts and among the checks."""
    trainer = fitted(
        tmp_path / "checkpoints",
        bert,
        Texts,
        eval_strategy="no",
        save_strategy="no",
        metric_for_best_model=None,
    )
    result = save_run(trainer, Texts(2), tmp_path / "run", name="plain")
    assert counts_of(result) == by_hand(copy.deepcopy(trainer.model), Texts(2))
    document = read_result(tmp_path / "run")
    words = "the current weights, because the trainer has no best checkpoint"
    assert (document.name, document.model["origin"], document.digests["weights"]) == ("plain", words, None)
    assert words.encode() in (tmp_path / "run/report.html").read_bytes()


def test_the_readme_says_how(tmp_path, trained, monkeypatch, readme_python):
    """Its block, run as it stands."""
    monkeypatch.chdir(tmp_path)
    names = {"trainer": trained, "test_data": Texts(2)}
    exec(readme_python("evalkit.hf"), names)
    assert read_result(tmp_path / "out/model") == names["result"].document


def test_other_ranks_do_nothing(tmp_path, trained, monkeypatch):
    """No data, no folder."""
    monkeypatch.setattr(trained, "is_world_process_zero", lambda: False)
    assert save_run(trained, lambda: pytest.fail("asked for data"), tmp_path / "run") is None
    assert not (tmp_path / "run").exists()


def spoiled(state, change):
    change(state)
    return state


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("classifier.1.bias"), r"1 missing: classifier\.1\.bias"),
        (lambda s: s.pop("classifier.0.num_batches_tracked"), r"1 missing: classifier\.0\.num_batches"),
        (lambda s: s.update(extra=torch.ones(1)), "1 unexpected: extra"),
        (lambda s: s["classifier.1.bias"].fill_(float("nan")), "NaN or infinite"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path, trained, monkeypatch, change, words):
    """Never a partial load, as load_state_dict(strict=False) has it; and no run."""
    state = spoiled(load_file(best_folder(trained) / "model.safetensors"), change)
    (tmp_path / "other").mkdir()
    save_file(state, tmp_path / "other/model.safetensors")
    monkeypatch.setattr(trained.state, "best_model_checkpoint", str(tmp_path / "other"))
    before = bits(trained)
    with pytest.raises(CheckpointError, match=words):
        save_run(trained, Texts(2), tmp_path / "run")
    assert_same(before, bits(trained))
    assert not (tmp_path / "run").exists()


def test_files_of_torch_are_read_too(tmp_path, trained, monkeypatch):
    """pytorch_model.bin, as data; a folder without weights is refused."""
    (tmp_path / "old").mkdir()
    monkeypatch.setattr(trained.state, "best_model_checkpoint", str(tmp_path / "old"))
    with pytest.raises(CheckpointError, match="holds no weights of a whole model"):
        save_run(trained, Texts(2), tmp_path / "run")
    state = {key: value + 0.5 for key, value in trained.model.state_dict().items() if value.ndim}
    torch.save({**trained.model.state_dict(), **state}, tmp_path / "old/pytorch_model.bin")
    result = save_run(trained, Texts(2), tmp_path / "run")
    other = bert()
    other.load_state_dict(torch.load(tmp_path / "old/pytorch_model.bin"))
    assert counts_of(result) == by_hand(other, Texts(2))
    assert result.document.model["format"] == "zip"


def test_what_cannot_be_meant_is_refused(tmp_path, trained):
    """Options, folders, things that are no Trainer, data that raise."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("mine")
    with pytest.raises(TypeError, match="ouput"):
        save_run(trained, Texts(2), tmp_path / "run", ouput="logits")
    with pytest.raises(OutputError, match="not evalkit's"):
        save_run(trained, Texts(2), tmp_path / "mine")
    with pytest.raises(SpecificationError, match=r"expected a transformers\.Trainer, got a Rated"):
        save_run(trained.model, Texts(2), tmp_path / "run")
    with pytest.raises(EvalkitError, match="data: raised ZeroDivisionError"):
        save_run(trained, lambda: 1 / 0, tmp_path / "run")
