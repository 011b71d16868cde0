"""Sabotaged models and data are flagged, each by its own check; clean architectures raise no false alarm."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import evalkit as library
from evalkit.errors import InvalidRunError
from evalkit.gallery import read_gallery
from evalkit.manifest import Manifest, format_manifest

N, K = 96, 4
NAMES = [f"c{k}" for k in range(K)]


class Data(torch.utils.data.Dataset):
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x)

    def __getitem__(self, k):
        return self.x[k], self.y[k]


def samples(*shape, n=N, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Data(torch.randn(n, *shape, generator=generator), torch.arange(n) % K)


class Base(nn.Module):
    """Two layers; saboteurs replace forward."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.norm, self.head = nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Linear(16, K)
        self.norm.running_mean.normal_()

    def features(self, x):
        return self.norm(self.body(x)).relu()

    def forward(self, x):
        return self.head(self.features(x))


class Dropout(Base):
    def forward(self, x):
        return self.head(functional.dropout(self.features(x), 0.1))


class RareDropout(Base):
    def forward(self, x):
        return self.head(functional.dropout(self.features(x), 0.02))


class Noise(Base):
    def forward(self, x):
        return super().forward(x + 0.01 * torch.randn_like(x))


class FaintNoise(Base):
    def forward(self, x):
        return super().forward(x) * (1 + 1e-6 * torch.rand(1))


class BatchStatistics(Base):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(16, track_running_stats=False)


class FunctionalBatchNorm(Base):
    def forward(self, x):
        return self.head(functional.batch_norm(self.body(x), None, None, training=True))


class Centred(Base):
    def forward(self, x):
        return super().forward(x - x.mean(0))


class Cumulative(Base):
    def forward(self, x):
        return super().forward(x).cumsum(0)


class Neighbours(Base):
    def forward(self, x):
        y = super().forward(x)
        return y + 0.5 * torch.roll(y, 1, 0)


class Softmaxed(Base):
    """Softmax over the samples instead of the classes."""

    def forward(self, x):
        return super().forward(x).softmax(0)


class FirstOnly(Base):
    def forward(self, x):
        y = super().forward(x)
        return torch.cat([y[:1] + 5, y[1:]])


class Attention(Base):
    """Attention with the batch where the sequence should be."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 2)

    def forward(self, x):
        h = self.features(x)[:, None]
        return self.head(self.attention(h, h, h)[0][:, 0])


class TrainsAChild(Base):
    def forward(self, x):
        self.norm.train()
        return super().forward(x)


class RefusesEval(Base):
    def train(self, mode=True):
        super().train(mode)
        self.norm.training = True
        return self


class MovesABuffer(Base):
    def forward(self, x):
        self.norm.running_mean += 1e-4
        return super().forward(x)


class ChangesAWeight(Base):
    def forward(self, x):
        self.head.bias.data[0] += 1e-6
        return super().forward(x)


class NaNs(Base):
    def forward(self, x):
        y = super().forward(x)
        return torch.where(x[:, :1] > 2, torch.nan, y)


class Remembers(Base):
    """Answers with a running mean of what it answered before."""

    def forward(self, x):
        y = super().forward(x)
        self.last = 0.9 * getattr(self, "last", 0) + 0.1 * y.mean(0)
        return y + self.last


SABOTEURS = {
    Dropout: "deterministic",
    RareDropout: "deterministic",
    Noise: "deterministic",
    FaintNoise: "deterministic",
    Remembers: "deterministic",
    BatchStatistics: "batch_independent",
    FunctionalBatchNorm: "batch_independent",
    Centred: "batch_independent",
    Cumulative: "batch_independent",
    Neighbours: "batch_independent",
    Softmaxed: "batch_independent",
    FirstOnly: "batch_independent",
    Attention: "batch_independent",
    TrainsAChild: "eval_mode",
    RefusesEval: "eval_mode",
    MovesABuffer: "model_unchanged",
    ChangesAWeight: "model_unchanged",
    NaNs: "finite_outputs",
}


@pytest.mark.parametrize("saboteur", SABOTEURS, ids=lambda cls: cls.__name__)
def test_sabotaged_models_are_invalid(saboteur):
    """Each by its own check."""
    with pytest.raises(InvalidRunError) as caught:
        library.evaluate(saboteur(), samples(6), class_names=NAMES, batch_size=40)
    assert caught.value.check == SABOTEURS[saboteur]


@pytest.mark.parametrize("n", [1, 2, 3, 8, 25])
def test_small_sets_are_audited_too(n):
    """However few there are; a single sample can only be asked twice."""
    assert library.evaluate(Base(), samples(6, n=n), class_names=NAMES).document.valid
    with pytest.raises(InvalidRunError):
        library.evaluate(Dropout(), samples(6, n=n), class_names=NAMES)


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.body, self.head = kind(6, 8, num_layers=2, dropout=0.2, batch_first=True), nn.Linear(8, K)

    def forward(self, x):
        return self.head(self.body(x)[0][:, -1])


class Tuple(Base):
    def forward(self, x):
        y = super().forward(x)
        return y, self.features(x)


class Mapping(Base):
    def forward(self, x):
        return {"logits": super().forward(x), "loss": torch.rand(1)}


class Scaled(Base):
    """Normalises each sample by itself."""

    def forward(self, x):
        return super().forward((x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True))


class Half(Base):
    def forward(self, x):
        return super().forward(x).bfloat16()


class Half16(Base):
    def forward(self, x):
        return self.head.half()(self.features(x).half())


class Sorted(Base):
    def forward(self, x):
        return super().forward(x.sort(1).values)


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.embed, self.head = nn.Linear(6, 8), nn.Linear(8, K)

    def forward(self, x):
        return self.head(self.body(self.embed(x)).mean(1))


def convolutional(*layers):
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.LazyLinear(K))


PICTURES, ROWS, SERIES = (3, 12, 12), (6,), (5, 6)
CLEAN = {
    "mlp": (Base, ROWS, {}),
    "scaled by sample": (Scaled, ROWS, {}),
    "sorted": (Sorted, ROWS, {}),
    "bfloat16": (Half, ROWS, {}),
    "tuple": (Tuple, ROWS, {"select": 0}),
    "mapping": (Mapping, ROWS, {"select": "logits"}),
    "cnn": (lambda: convolutional(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()), PICTURES, {}),
    "depthwise": (lambda: convolutional(nn.Conv2d(3, 6, 3, groups=3), nn.Conv2d(6, 8, 1)), PICTURES, {}),
    "dilated": (lambda: convolutional(nn.Conv2d(3, 8, 3, dilation=2), nn.GELU()), PICTURES, {}),
    "transposed": (lambda: convolutional(nn.ConvTranspose2d(3, 8, 3, 2), nn.SiLU()), PICTURES, {}),
    "group norm": (lambda: convolutional(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8)), PICTURES, {}),
    "instance norm": (lambda: convolutional(nn.Conv2d(3, 8, 3), nn.InstanceNorm2d(8)), PICTURES, {}),
    "layer norm": (lambda: convolutional(nn.Conv2d(3, 8, 3), nn.LayerNorm([8, 10, 10])), PICTURES, {}),
    "local response": (lambda: convolutional(nn.Conv2d(3, 8, 3), nn.LocalResponseNorm(3)), PICTURES, {}),
    "max pool": (lambda: convolutional(nn.Conv2d(3, 8, 3), nn.MaxPool2d(2), nn.Dropout2d()), PICTURES, {}),
    "lstm": (lambda: Recurrent(nn.LSTM), SERIES, {}),
    "gru": (lambda: Recurrent(nn.GRU), SERIES, {}),
    "rnn": (lambda: Recurrent(nn.RNN), SERIES, {}),
    "transformer": (Transformer, SERIES, {}),
    "rrelu": (
        lambda: nn.Sequential(nn.Linear(6, 8), nn.RReLU(), nn.AlphaDropout(), nn.Linear(8, K)),
        ROWS,
        {},
    ),
    "bottleneck": (lambda: nn.Sequential(nn.Linear(6, 1), nn.Linear(1, K)), ROWS, {}),
    "constant": (lambda: nn.Sequential(nn.Linear(6, K), nn.Hardtanh(0, 0.0001)), ROWS, {}),
}


@pytest.mark.filterwarnings("ignore:Lazy modules")
@pytest.mark.parametrize("name", CLEAN)
def test_clean_models_raise_no_alarm(name):
    """No failure, no doubt about the batch."""
    build, shape, options = CLEAN[name]
    torch.manual_seed(0)
    model, data = build(), samples(*shape)
    model.eval()(data.x[:2])  # lazy layers take their shape
    for audit in ("standard", "full"):
        result = library.evaluate(model, data, class_names=NAMES, batch_size=40, audit=audit, **options)
        found = {row.check: row.status for row in result.document.integrity}
        assert found["deterministic"] == found["batch_independent"] == "ok"


class LaterDropout(Base):
    """Random only for what the first batch does not hold."""

    def forward(self, x):
        y = super().forward(x)
        return torch.where(x[:, :1] > 3, y + torch.rand_like(y), y)


def test_full_looks_at_every_batch_and_off_at_none():
    """What standard cannot see because it looks at the first batch alone."""
    data = samples(6)
    data.x[50:, 0] += 10
    options = {"class_names": NAMES, "batch_size": 40}
    assert library.evaluate(LaterDropout(), data, **options).document.valid
    with pytest.raises(InvalidRunError):
        library.evaluate(LaterDropout(), data, audit="full", **options)
    result = library.evaluate(Dropout(), data, audit="off", **options).document
    assert {row.check: row.status for row in result.integrity}["deterministic"] == "not_run"


def test_models_that_are_meant_to_be_random(project, evalkit, tmp_path):
    """Their numbers stand, and the header says so."""
    source = (project.path / "model.py").read_text()
    project.write_model(source.replace("self.body(x)", "nn.functional.dropout(self.body(x), 0.3)"))
    code, _, err = evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "o")
    assert code == 5
    assert "error[invalid-run]: the same batch twice gives other answers" in err
    assert "run.stochastic" in err
    spec = project.write_spec("s.yaml", run={"stochastic": True})
    code, out, err = evalkit("run", spec, "-o", tmp_path / "o")
    assert code == 0, err
    assert "meant to be random" in out
    assert "meant to be random" in (tmp_path / "o/report.html").read_text()
    code, out, _ = evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "o", "--audit", "off")
    assert code == 0
    assert "was not asked again" in out


def test_a_batch_of_one_that_cannot_be_asked_is_a_doubt():
    """No batch of the run was of that size, so its numbers stand, and it is said."""

    class Squeezes(Base):
        def forward(self, x):
            return super().forward(x).squeeze()

    rows = {
        row.check: row
        for row in library.evaluate(Squeezes(), samples(6), class_names=NAMES).document.integrity
    }
    assert rows["batch_independent"].status == "warn"
    assert "cannot be asked singly" in rows["batch_independent"].detail


def statuses(result):
    return {row.check: row.status for row in result.integrity}


def test_one_class_for_everything_is_said():
    """A constant predictor is a warning; so is it in a table."""
    model = Base()
    with torch.no_grad():
        model.head.bias[2] += 100
    found = library.evaluate(model, samples(6), class_names=NAMES).document
    assert statuses(found)["several_predicted"] == "warn"
    table = library.score([0, 1, 2, 2], [2, 2, 2, 2], class_names=["a", "b", "c"]).document
    assert statuses(table)["several_predicted"] == "warn"
    alone = library.score([2, 2], [2, 2], class_names=["a", "b", "c"]).document
    assert statuses(alone)["several_predicted"] == "ok"


def test_equal_inputs_and_unequal_labels_are_counted(project, evalkit, tmp_path):
    """Duplicates are a warning, conflicting labels another; --strict makes them a failure."""
    x, y = project.x.copy(), project.y.copy()
    x[10], x[11], x[20] = x[0], x[0], x[1]
    y[0], y[10], y[11], y[1], y[20] = 0, 0, 1, 2, 2
    project.write_data(x=x, y=y)
    code, out, err = evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "o")
    assert code == 0, err
    assert "3 inputs equal an earlier one" in out
    assert "3 samples have an input that also occurs with another label" in out
    data = json.loads((tmp_path / "o/result.json").read_text())["data"]
    assert (data["duplicate_inputs"], data["conflicting_labels"]) == (3, 3)
    shown = read_gallery(tmp_path / "o")
    assert [row.sample_id for row in shown if "conflict" in row.why] == ["0", "10", "11"]
    assert "Equal inputs, unequal labels" in (tmp_path / "o/report.html").read_text()
    assert evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "o", "--strict")[0] == 3


def test_prints_do_not_depend_on_batches_or_order():
    """Duplicates are found across batches, whatever their size."""
    data = samples(6)
    data.x[90] = data.x[3]
    for size in (1, 7, 96):
        found = library.evaluate(Base(), data, class_names=NAMES, batch_size=size).document
        assert found.data["duplicate_inputs"] == 1
        assert found.data["conflicting_labels"] == 2
    shuffled = torch.utils.data.Subset(data, np.random.default_rng(0).permutation(N).tolist())
    assert library.evaluate(Base(), shuffled, class_names=NAMES).document.data["duplicate_inputs"] == 1


def test_truncated_images_allowed_by_somebody_else(monkeypatch):
    """A global switch that a data set's own loader would feel."""
    from PIL import ImageFile

    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    found = library.evaluate(Base(), samples(6), class_names=NAMES).document
    assert statuses(found)["images_complete"] == "warn"


def test_samples_of_the_training_set_are_found(project, evalkit, tmp_path):
    """By prints of what the model is fed; a manifest of other inputs is refused."""
    train = project.x[:25].copy()
    train[5:] += 1
    np.savez(project.path / "train.npz", x=train, y=project.y[:25])
    code, out, err = evalkit(
        "manifest",
        project.path / "train.npz",
        "--like",
        project.path / "eval.yaml",
        "-o",
        tmp_path / "train.manifest",
    )
    assert code == 0, err
    assert out.startswith("25 inputs of ")
    (tmp_path / "train.manifest").rename(project.path / "train.manifest")
    spec = project.write_spec("m.yaml", data__train_manifest="train.manifest")
    code, out, err = evalkit("run", spec, "-o", tmp_path / "o")
    assert code == 0, err
    assert "5 of 60 inputs are in the training set" in out
    assert json.loads((tmp_path / "o/result.json").read_text())["data"]["in_training_set"] == 5
    manifest = Manifest(np.zeros(3, np.uint64), "resize 8")
    (project.path / "train.manifest").write_bytes(format_manifest(manifest))
    code, _, err = evalkit("run", spec, "-o", tmp_path / "o")
    assert code == 2
    assert "another preprocessing (resize 8)" in err
    for content in (b"", b"junk", (project.path / "train.npz").read_bytes()):
        (project.path / "train.manifest").write_bytes(content)
        assert evalkit("run", spec, "-o", tmp_path / "o")[0] == 4


def test_data_are_gated(project, evalkit, tmp_path):
    """Duplicates and conflicts by their count; other rules make no sense."""
    x = project.x.copy()
    x[1] = x[0]
    project.write_data(x=x)
    for limit, expected in ((0, 3), (1, 0)):
        spec = project.write_spec("g.yaml", gates=[{"metric": "duplicate_inputs", "max": limit}])
        code, out, _ = evalkit("run", spec, "-o", tmp_path / "o")
        assert code == expected
        assert f"duplicate_inputs is 1 {'and' if limit else 'but'} must be at most {limit}" in out
    for gate in ({"max_drop": 1}, {"max": 1, "judge": "interval"}, {"max": 1, "class": "class 0"}):
        spec = project.write_spec("g.yaml", gates=[{"metric": "duplicate_inputs", **gate}])
        assert evalkit("run", spec, "-o", tmp_path / "o")[0] == 2
    spec = project.write_spec("g.yaml", metrics={"names": ["duplicate_inputs"]})
    assert evalkit("run", spec, "-o", tmp_path / "o")[0] == 2


def test_a_count_that_was_not_taken_is_not_judged(tmp_path, evalkit):
    """A table has no inputs."""
    library.score([0, 1] * 20, [0, 1] * 20, class_names=["a", "b"]).save(tmp_path / "t")
    (tmp_path / "gates.yaml").write_text("gates: [{metric: duplicate_inputs, max: 0}]")
    assert evalkit("gate", tmp_path / "t", "--gates", tmp_path / "gates.yaml")[0] == 5


class RandomInputs(Data):
    def __getitem__(self, k):
        return self.x[k] + 1e-3 * torch.randn(6), self.y[k]


class RandomLabels(Data):
    def __getitem__(self, k):
        return self.x[k], int(torch.randint(0, K, ()))


class Once(Data):
    """Samples that can be read a single time."""

    def __init__(self, x, y):
        super().__init__(x, y)
        self.read = set()

    def __getitem__(self, k):
        if k in self.read:
            raise RuntimeError("the stream has passed")
        self.read.add(k)
        return super().__getitem__(k)


@pytest.mark.parametrize("kind", [RandomInputs, RandomLabels, Once])
@pytest.mark.parametrize("workers", [0, 2])
def test_data_sets_that_do_not_repeat_are_invalid(kind, workers):
    """Random augmentation, random labels, streams: nobody could measure this number again."""
    plain = samples(6)
    data = torch.utils.data.DataLoader(kind(plain.x, plain.y), batch_size=40, num_workers=workers)
    if kind is Once and workers:
        return  # each process has its own memory of what was read
    with pytest.raises(InvalidRunError) as caught:
        library.evaluate(Base(), data, class_names=NAMES)
    assert caught.value.check == "data_repeatable"
    assert library.evaluate(Base(), kind(plain.x, plain.y), class_names=NAMES, stochastic=True).document.valid


class Caches(Base):
    """Answers from memory where an input of the same shape came before."""

    def forward(self, x):
        self.known = getattr(self, "known", {})
        return self.known.setdefault(tuple(x.shape), super().forward(x))


class Flips(Base):
    def forward(self, x):
        return super().forward(x).flip(0)


class Counts(Base):
    def forward(self, x):
        return super().forward(x) / len(x)


class Clock(Base):
    def forward(self, x):
        import time

        return super().forward(x) + time.perf_counter() % 1


@pytest.mark.parametrize("saboteur", [Caches, Flips, Counts, Clock])
def test_more_saboteurs(saboteur):
    """Answers from memory, in another order, by the size of the batch, by the clock."""
    with pytest.raises(InvalidRunError):
        library.evaluate(saboteur(), samples(6), class_names=NAMES, batch_size=40)
