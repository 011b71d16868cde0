"""The layer table: kinds, shapes, parameters and FLOPs of real architectures; and that looking changes nothing."""

import copy

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from evalkit.checkpoints.architecture import inspect_architecture
from evalkit.checkpoints.flops import flops_of
from evalkit.checkpoints.layers import eval_effect, kind_of, settings_of
from evalkit.inference.anatomy import anatomy
from evalkit.inference.unchanged import model_digest
from evalkit.render.layers import layers_view

models = pytest.importorskip("torchvision.models", reason="needs the extra vision")

KINDS = {
    "plain convolution": nn.Conv2d(4, 8, 3),
    "dilated convolution": nn.Conv2d(4, 8, 3, dilation=2),
    "grouped convolution": nn.Conv2d(4, 8, 3, groups=2),
    "depthwise convolution": nn.Conv2d(4, 8, 3, groups=4),
    "depthwise dilated convolution": nn.Conv2d(4, 4, 3, groups=4, dilation=2),
    "pointwise convolution": nn.Conv2d(4, 8, 1),
    "transposed convolution": nn.ConvTranspose2d(4, 8, 3),
    "spatially separable convolution": nn.Conv2d(4, 8, (1, 7)),
    "pooling": nn.MaxPool2d(2),
    "activation": nn.GELU(),
    "normalisation": nn.LayerNorm(4),
    "dropout": nn.Dropout2d(0.2),
    "linear": nn.Linear(4, 8),
    "attention": nn.MultiheadAttention(8, 2),
    "reshape": nn.Flatten(),
    "other": nn.CosineSimilarity(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds(kind):
    """In the field's words."""
    assert kind_of(KINDS[kind]) == kind


def test_one_channel_is_no_group():
    """A convolution over a single channel is plain, whatever its groups would mean."""
    assert kind_of(nn.Conv2d(1, 8, 3)) == "plain convolution"
    assert kind_of(nn.Conv1d(4, 8, 3)) == "plain convolution"
    assert kind_of(nn.Conv1d(4, 8, 1, dilation=2)) == "pointwise convolution"


def test_settings():
    """What decides the output's size."""
    assert settings_of(nn.Conv2d(4, 8, (1, 3), stride=2, padding=1)) == {
        "kernel_size": [1, 3],
        "stride": [2, 2],
        "padding": [1, 1],
        "dilation": [1, 1],
    }
    assert settings_of(nn.MaxPool2d(2, ceil_mode=True))["ceil_mode"] is True
    assert settings_of(nn.AdaptiveAvgPool2d((1, None))) == {"output_size": [1, None]}
    assert settings_of(nn.ReLU()) == {}


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (nn.BatchNorm2d(3), "running statistics; train mode the batch's, and moves them"),
        (nn.BatchNorm2d(3, track_running_stats=False), "the batch's in eval mode, too"),
        (nn.InstanceNorm2d(3, track_running_stats=True), "train mode each sample's"),
        (nn.Dropout(0.25), "identity; train mode drops 25 %"),
        (nn.MultiheadAttention(8, 2, dropout=0.1), "drops 10 % inside"),
        (nn.RReLU(), "train mode a random one"),
    ],
)
def test_what_eval_mode_changes(module, words):
    """Said of every layer that has two ways."""
    assert words in eval_effect(module)


@pytest.mark.parametrize(
    "module", [nn.InstanceNorm2d(3), nn.LayerNorm(3), nn.GroupNorm(1, 3), nn.Conv2d(1, 1, 1)]
)
def test_what_it_does_not_change(module):
    """Nothing is said."""
    assert eval_effect(module) is None


# Published by torchvision: parameters, and billions of multiply-adds (two of our FLOPs each).
PUBLISHED = {
    "alexnet": models.AlexNet_Weights.IMAGENET1K_V1,
    "resnet18": models.ResNet18_Weights.IMAGENET1K_V1,
    "resnet50": models.ResNet50_Weights.IMAGENET1K_V2,
    "mobilenet_v2": models.MobileNet_V2_Weights.IMAGENET1K_V2,
    "mobilenet_v3_small": models.MobileNet_V3_Small_Weights.IMAGENET1K_V1,
    "efficientnet_b0": models.EfficientNet_B0_Weights.IMAGENET1K_V1,
    "shufflenet_v2_x0_5": models.ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1,
    "squeezenet1_1": models.SqueezeNet1_1_Weights.IMAGENET1K_V1,
    "convnext_tiny": models.ConvNeXt_Tiny_Weights.IMAGENET1K_V1,
    "swin_t": models.Swin_T_Weights.IMAGENET1K_V1,
    "vit_b_32": models.ViT_B_32_Weights.IMAGENET1K_V1,
}
FIELDS = {"alexnet": 163, "resnet18": 435, "resnet50": 427, "mobilenet_v2": 491}


@pytest.fixture(scope="module")
def tables():
    """The layer tables of all architectures, two random pictures each."""
    torch.manual_seed(0)
    found = {}
    for name in PUBLISHED:
        model = models.get_model(name, weights=None).eval()
        found[name] = inspect_architecture(model, (torch.rand(2, 3, 224, 224),)), dict(model.named_modules())
    return found


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_numbers(name, tables):
    """Parameters exactly; multiply-adds to the digits that are published."""
    table, _ = tables[name]
    meta = PUBLISHED[name].meta
    assert table.n_parameters == meta["num_params"]
    assert table.flops / 2e9 == pytest.approx(meta["_ops"], abs=0.0006)
    assert sum(layer.n_parameters for layer in table.layers) == table.n_parameters
    assert sum(layer.flops for layer in table.layers) <= table.flops


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_formula_agrees_with_what_was_observed(name, tables):
    """No layer of torchvision differs; convolutions, pooling and linear layers all have a formula."""
    table, modules = tables[name]
    assert not [layer.name for layer in table.layers if layer.differs]
    for layer in table.layers:
        if layer.n_calls and isinstance(
            modules[layer.name], (nn.Conv2d, nn.MaxPool2d, nn.Linear, nn.BatchNorm2d)
        ):
            assert layer.formula_shape == layer.output_shape is not None


@pytest.mark.parametrize("name", FIELDS)
def test_known_receptive_fields(name, tables):
    """Of the last convolution; behind global pooling everything is seen."""
    table, _ = tables[name]
    convolutions = [layer for layer in table.layers if "convolution" in layer.kind]
    assert convolutions[-1].receptive_field == [FIELDS[name]] * 2
    assert table.layers[-1].receptive_field == "whole input"


def test_attention_over_everything_sees_everything_and_windows_are_not_followed(tables):
    """ViT attends to all patches; Swin to windows, which is not claimed to be anything."""
    vit, swin = tables["vit_b_32"][0], tables["swin_t"][0]
    assert vit.layers[1].receptive_field == [32, 32]
    assert vit.layers[-1].receptive_field == "whole input"
    assert swin.layers[-1].receptive_field is None


class Odd(nn.Conv2d):
    """A layer that does not do what its formula says."""

    def forward(self, x):
        return super().forward(x)[..., 1:, :]


class Strange(nn.Module):
    """Shared and unused layers, a layer that differs, one that is called by name, and an in-place change."""

    def __init__(self):
        super().__init__()
        self.odd, self.act, self.unused = Odd(1, 2, 3), nn.ReLU(inplace=True), nn.Linear(3, 3)
        self.head = nn.Linear(2, 3)
        for parameter in self.odd.parameters():
            parameter.requires_grad = False

    def forward(self, x):
        x -= 0.5
        x = self.act(self.odd(x))
        return self.head(self.act(x).mean((2, 3)))


def test_strange_models():
    """A mismatch is shown, a shared layer counted, an unused one listed; frozen and trainable are told apart."""
    found = inspect_architecture(Strange().eval(), (torch.rand(2, 1, 8, 8),))
    rows = {layer.name: layer for layer in found.layers}
    assert list(rows) == ["odd", "act", "head", "unused"]
    assert rows["odd"].differs
    assert (rows["odd"].formula_shape, rows["odd"].output_shape) == ((2, 6, 6), (2, 5, 6))
    assert rows["act"].n_calls == 2
    assert rows["unused"].output_shape is None
    assert (rows["odd"].trainable, rows["head"].trainable, rows["act"].trainable) == (
        "frozen",
        "trainable",
        None,
    )
    assert (found.n_parameters, found.n_trainable) == (20 + 12 + 9, 12 + 9)
    view = layers_view({"architecture": found.facts()})
    assert "by formula 2x6x6" in view.rows[0][3]
    assert any("differ: odd" in note for note in view.notes)
    assert any("not called" in note for note in view.notes)


def test_looking_changes_nothing():
    """Weights, flags, hooks, random state and the inputs are as before."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5)).train()
    model[1].eval()
    x, before, state = torch.rand(4, 1, 8, 8), model_digest(model), torch.get_rng_state()
    kept = copy.deepcopy(x)
    found = anatomy(model, (x,), torch.device("cpu"), torch.float32)
    assert found["n_layers"] == 3
    assert model_digest(model) == before
    assert [module.training for module in model] == [True, False, True]
    assert torch.equal(x, kept)
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_model_that_raises_has_no_table():
    """The reason stands instead."""
    found = anatomy(nn.Linear(3, 2), (torch.rand(2, 5),), torch.device("cpu"), torch.float32)
    assert "RuntimeError" in found["not_available"]
    assert "RuntimeError" in layers_view({"architecture": found}).notes[0]


def test_the_document_and_the_page_hold_it(digits_run):
    """Folded under the model's facts."""
    from evalkit.result import read_result

    architecture = read_result(digits_run).model["architecture"]
    assert architecture["n_parameters"] == 8890
    assert [layer["kind"] for layer in architecture["layers"]][:4] == [
        "plain convolution",
        "normalisation",
        "activation",
        "dilated convolution",
    ]
    page = (digits_run / "report.html").read_text()
    assert '<details class="layers">' in page
    assert "depthwise convolution (Conv2d)" in page


@pytest.mark.parametrize(
    "name", ["efficientnet_b0", "vit_tiny_patch16_224", "mobileone_s0", "swinv2_cr_tiny_224"]
)
def test_timms_own_layers_have_rows(name):
    """Norms that hold their activation, tokens of the model itself: every parameter stands in one row."""
    timm = pytest.importorskip("timm", reason="needs the extra timm")
    model = timm.create_model(name, pretrained=False).eval()
    table = inspect_architecture(model, (torch.rand(1, 3, 224, 224),))
    assert sum(layer.n_parameters for layer in table.layers) == table.n_parameters
    n_norms = sum(isinstance(one, nn.BatchNorm2d | nn.LayerNorm | nn.GroupNorm) for one in model.modules())
    assert sum(layer.kind == "normalisation" for layer in table.layers) == n_norms


def test_layers_that_hold_others_are_rows_too():
    """Weight norm, low-rank adapters: the convolution or linear layer is one, with its own parameters and FLOPs."""

    class Lora(nn.Linear):
        def __init__(self):
            super().__init__(8, 8)
            self.down, self.up = nn.Linear(8, 2, bias=False), nn.Linear(2, 8, bias=False)

        def forward(self, x):
            return super().forward(x) + self.up(self.down(x))

    table = inspect_architecture(nn.Sequential(Lora()).eval(), (torch.rand(1, 8),))
    rows = {layer.name: layer for layer in table.layers}
    assert (rows["0"].kind, rows["0"].n_parameters, rows["0"].flops) == ("linear", 72, 128)
    assert (rows["0.down"].flops, rows["0.up"].flops, table.flops) == (32, 32, 192)
    normed = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
    table = inspect_architecture(nn.Sequential(normed).eval(), (torch.rand(1, 3, 8, 8),))
    rows = {layer.name: layer for layer in table.layers}
    assert rows["0"].kind == "plain convolution"
    assert rows["0"].receptive_field == [3, 3]
    assert sum(layer.n_parameters for layer in table.layers) == table.n_parameters


def _counting(call):
    """What ours and torch's counter say of one call."""
    ours = []

    class Counting(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            found = func(*args, **(kwargs or {}))
            ours.append(flops_of(func, args, found))
            return found

    with torch.no_grad(), FlopCounterMode(display=False) as theirs, Counting():
        call()
    return sum(ours), theirs.get_total_flops()


X = torch.ones(2, 6, 9, 8)
CALLS = {
    "mm": lambda: torch.ones(3, 4) @ torch.ones(4, 5),
    "addmm": lambda: torch.addmm(torch.ones(5), torch.ones(3, 4), torch.ones(4, 5)),
    "bmm": lambda: torch.bmm(torch.ones(2, 3, 4), torch.ones(2, 4, 5)),
    "baddbmm": lambda: torch.baddbmm(torch.ones(2, 3, 5), torch.ones(2, 3, 4), torch.ones(2, 4, 5)),
    "linear": lambda: nn.Linear(8, 3)(X),
    "convolution": lambda: nn.Conv2d(6, 4, 3, stride=2, padding=1)(X),
    "grouped": lambda: nn.Conv2d(6, 6, 3, groups=3)(X),
    "transposed": lambda: nn.ConvTranspose2d(6, 4, 3, stride=2)(X),
    "grouped and transposed": lambda: nn.ConvTranspose2d(6, 4, 3, groups=2)(X),
    "one dimension": lambda: nn.Conv1d(9, 4, 3, dilation=2)(X[0]),
    "attention": lambda: torch.ops.aten._scaled_dot_product_attention_math(X, X, X),
    "not counted": lambda: (X + X).relu().sum(),
}


@pytest.mark.parametrize("name", CALLS)
def test_operations_are_those_of_torchs_counter(name):
    """Its formulas, without loading it."""
    ours, theirs = _counting(CALLS[name])
    assert ours == theirs
    assert (ours > 0) == (name != "not counted")


@pytest.mark.parametrize("name", ["efficient", "flash", "cudnn"])
def test_fused_attention_is_counted_as_torch_does(name):
    """Kernels of GPUs: their formula alone."""
    shapes = (2, 4, 6, 8), (2, 2, 7, 8), (2, 2, 7, 5)
    operator = getattr(torch.ops.aten, f"_scaled_dot_product_{name}_attention")
    given = [torch.ones(shape) for shape in shapes]
    assert flops_of(operator.default, given, None) == flop_registry[operator](*given, out_val=None)
