"""Output sizes and receptive fields by formula, against torch itself over a grid."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import evalkit
from evalkit.checkpoints.architecture import inspect_architecture
from evalkit.checkpoints.sizes import conv_output_size, conv_transpose_output_size, pool_output_size

SIZE, KERNEL, STEP = st.integers(1, 40), st.integers(1, 6), st.integers(1, 4)


def length(module, size):
    """What torch makes of an input of this size; None where it refuses."""
    try:
        return module(torch.zeros(1, 1, size)).shape[2]
    except RuntimeError:
        return None


def formula(function, *arguments, **options):
    try:
        return function(*arguments, **options)
    except ValueError:
        return None


@given(SIZE, KERNEL, STEP, st.integers(0, 5), STEP)
def test_convolutions(size, kernel, stride, padding, dilation):
    """Sizes, and what cannot be."""
    module = nn.Conv1d(1, 1, kernel, stride=stride, padding=padding, dilation=dilation)
    expected = formula(conv_output_size, size, kernel, stride=stride, padding=padding, dilation=dilation)
    assert expected == length(module, size)


@given(SIZE, KERNEL, STEP, st.integers(0, 5), STEP, st.integers(0, 3))
def test_transposed_convolutions(size, kernel, stride, padding, dilation, extra):
    """The inverse of the sizes of a convolution, with what output_padding picks."""
    assume(extra < max(stride, dilation))
    module = nn.ConvTranspose1d(
        1, 1, kernel, stride=stride, padding=padding, dilation=dilation, output_padding=extra
    )
    options = {"stride": stride, "padding": padding, "dilation": dilation, "output_padding": extra}
    assert formula(conv_transpose_output_size, size, kernel, **options) == length(module, size)


@given(SIZE, KERNEL, st.none() | STEP, st.integers(0, 3), STEP, st.booleans())
def test_max_pooling(size, kernel, stride, padding, dilation, ceil_mode):
    """Rounded up as torch does: no window begins in the right padding."""
    assume(padding <= kernel // 2)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": ceil_mode}
    assert formula(pool_output_size, size, kernel, **options) == length(nn.MaxPool1d(kernel, **options), size)


@given(SIZE, KERNEL, st.none() | STEP, st.integers(0, 3), st.booleans())
def test_average_pooling(size, kernel, stride, padding, ceil_mode):
    """The same without dilation."""
    assume(padding <= kernel // 2)
    options = {"stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    assert formula(pool_output_size, size, kernel, **options) == length(nn.AvgPool1d(kernel, **options), size)


@pytest.mark.parametrize("function", [conv_output_size, pool_output_size, conv_transpose_output_size])
def test_what_no_layer_has_is_refused(function):
    """Sizes below one; torch's dilation 1 is none, and 0 is refused rather than taken for none."""
    for arguments, options in [
        ((0, 3), {}),
        ((5, 0), {}),
        ((5, 3), {"stride": 0}),
        ((5, 3), {"dilation": 0}),
    ]:
        with pytest.raises(ValueError, match="expected 1 or more"):
            function(*arguments, **options)


def test_they_are_public():
    """Without torch: `evalkit.conv_output_size`."""
    assert evalkit.conv_output_size is conv_output_size
    assert evalkit.pool_output_size is pool_output_size
    assert evalkit.conv_transpose_output_size is conv_transpose_output_size


LAYER = st.one_of(
    st.tuples(st.just("conv"), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.just("pool"), st.integers(1, 3), st.integers(1, 3), st.just(1)),
    st.tuples(st.just("mean"), st.integers(1, 3), st.integers(1, 3), st.just(1)),
)


def layer_of(kind, kernel, stride, dilation):
    if kind == "conv":
        return nn.Conv1d(1, 1, kernel, stride=stride, dilation=dilation, bias=False)
    if kind == "mean":
        return nn.AvgPool1d(kernel, stride)
    # Max pooling hides what is not the largest: a mean over the same windows sees all of it.
    return nn.AvgPool1d(kernel, stride)


class Branches(nn.Module):
    """Two ways, added where they have the same length."""

    def __init__(self, left, right):
        super().__init__()
        self.left, self.right = left, right

    def forward(self, x):
        a, b = self.left(x), self.right(x)
        return a[..., : b.shape[-1]] + b[..., : a.shape[-1]]


def seen_by_gradient(model, size):
    """How many inputs move an output far from the edge, by autograd through positive weights."""
    for parameter in model.parameters():
        nn.init.constant_(parameter, 1.0)
    x = torch.ones(1, 1, size, requires_grad=True)
    y = model(x)
    y[0, 0, y.shape[2] // 2].backward()
    (where,) = torch.nonzero(x.grad[0, 0], as_tuple=True)
    return int(where.max() - where.min()) + 1


@settings(max_examples=60)
@given(st.lists(LAYER, min_size=1, max_size=5))
def test_receptive_fields_of_chains(layers):
    """By formula what autograd says, for inputs larger than the field."""
    model, size = nn.Sequential(*(layer_of(*layer) for layer in layers)).eval(), 2000
    found = inspect_architecture(model, (torch.zeros(1, 1, size),)).layers
    assert found[-1].receptive_field == [seen_by_gradient(model, size)]


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"),
    [(3, 2, 1), (4, 2, 1), (2, 2, 1), (3, 2, 2), (2, 2, 3), (5, 3, 1), (3, 1, 2)],
)
def test_receptive_fields_of_transposed_convolutions(kernel, stride, dilation):
    """The largest of what outputs see, which differ with their place."""
    model = nn.Sequential(
        nn.Conv1d(1, 1, 3, bias=False),
        nn.ConvTranspose1d(1, 1, kernel, stride, dilation=dilation, bias=False),
    ).eval()
    found = inspect_architecture(model, (torch.zeros(1, 1, 200),)).layers[-1].receptive_field
    for parameter in model.parameters():
        nn.init.constant_(parameter, 1.0)
    x = torch.ones(1, 1, 200, requires_grad=True)
    y, widths = model(x), []
    for place in range(60, 72):
        (grad,) = torch.autograd.grad(y[0, 0, place], x, retain_graph=True)
        (where,) = torch.nonzero(grad[0, 0], as_tuple=True)
        widths += [int(where.max() - where.min()) + 1] if len(where) else []  # some meet no tap
    assert found == [max(widths)]


def test_receptive_fields_of_branches():
    """The larger way counts; what sees all of the input stays so; what is not followed is not claimed."""

    def field(model, shape=(1, 4, 24, 24)):
        return inspect_architecture(model.eval(), (torch.rand(shape),)).layers[-1].receptive_field

    both = Branches(nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 7, padding=3))
    assert field(nn.Sequential(both, nn.ReLU())) == [7, 7]
    assert field(nn.Sequential(nn.Conv2d(4, 4, (1, 7)), nn.ReLU())) == [1, 7]
    assert field(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))) == "whole input"
    assert field(nn.Sequential(nn.Flatten(), nn.Linear(4 * 24 * 24, 2))) == "whole input"
    assert field(nn.Sequential(nn.Conv2d(4, 4, 3), nn.GroupNorm(2, 4), nn.ReLU())) == "whole input"
    assert field(nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4))) == [3, 3]
    assert field(nn.Sequential(nn.Conv2d(4, 4, 3), nn.Upsample(scale_factor=2), nn.ReLU())) is None
    assert field(nn.Linear(4, 2), (3, 4)) is None


class ChannelsLast(nn.Module):
    """A linear layer over channels behind a permutation, and back: what ConvNeXt does."""

    def __init__(self):
        super().__init__()
        self.first, self.mix, self.last = nn.Conv2d(4, 6, 5), nn.Linear(6, 6), nn.Conv2d(6, 6, 3)

    def forward(self, x):
        return self.last(self.mix(self.first(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2))


class Rows(nn.Module):
    """A linear layer along one spatial axis: not followed."""

    def __init__(self):
        super().__init__()
        self.mix, self.last = nn.Linear(24, 24), nn.ReLU()

    def forward(self, x):
        return self.last(self.mix(x))


def test_fields_behind_permutations():
    """A linear layer over channels changes nothing; one over positions is not claimed to."""
    x = torch.rand(2, 4, 24, 24)
    assert inspect_architecture(ChannelsLast().eval(), (x,)).layers[-1].receptive_field == [7, 7]
    assert inspect_architecture(Rows().eval(), (x,)).layers[-1].receptive_field is None


class Shape(nn.Module):
    """A function as a model, with a convolution to use."""

    def __init__(self, function, kernel=3):
        super().__init__()
        self.function, self.last = function, nn.Identity()
        self.a, self.b = (nn.Conv2d(4, 4, kernel, padding=kernel // 2, bias=False) for _ in range(2))
        for parameter in self.parameters():
            nn.init.constant_(parameter, 1.0)

    def forward(self, x):
        return self.last(self.function(self, x))


def written(self, x):
    y = x.clone()
    y[:, :2] = self.a(x)[:, :2]
    return y


def filled(self, x):
    y = torch.zeros(x.shape)
    y[:, :2] = self.a(x)[:, :2]
    return x + y


def accumulated(_, x):
    y = x * 1
    y[..., 1:] += x[..., :-1]
    return y


def causal(self, x):
    early = functional.conv2d(functional.pad(x, (2, 0, 2, 0)), self.a.weight)
    late = functional.conv2d(functional.pad(x, (0, 2, 0, 2)), self.b.weight)
    return early + late


TRUE = {
    "neighbours": (lambda _, x: x[..., 1:] + x[..., :-1], [1, 2]),
    "rolled by slices": (lambda _, x: x + torch.cat([x[..., 5:], x[..., :5]], -1), None),
    "rolled": (lambda _, x: x + x.roll(3, -1), None),
    "causal and not": (causal, [5, 5]),
    "reduction": (
        lambda _, x: (
            functional.avg_pool2d(x, 1, 2) + functional.avg_pool2d(functional.pad(x, (-1, 1, -1, 1)), 1, 2)
        ),
        [2, 2],
    ),
    "written in part": (written, None),
    "filled in": (filled, None),
    "accumulated": (accumulated, None),
    "of weights first": (lambda _, x: torch.ones(3, 4 * 576).mm(x.flatten(1).t()).t(), None),
    "residual": (lambda self, x: x + self.b(self.a(x)), [5, 5]),
    "residual in place": (lambda self, x: self.a(x).add_(x).relu_(), [3, 3]),
    "of its own": (lambda self, x: self.a(x)[:, :2] * 2, [3, 3]),
    "strided slice": (lambda _, x: x[..., ::2], None),
    "flat row": (lambda _, x: x[0, 0, 0], [1, 1]),
}


@pytest.mark.parametrize("case", TRUE)
def test_shifts_writes_and_cuts(case):
    """What is claimed is what the gradient says; what is not followed is not claimed."""
    function, expected = TRUE[case]
    model, x = Shape(function).eval(), torch.ones(1, 4, 24, 24, requires_grad=True)
    claimed = inspect_architecture(model, (x.detach(),)).layers
    found = next(layer for layer in claimed if layer.name == "last").receptive_field
    assert found == expected
    y = model(x)
    if expected is not None and y.dim() == 4:
        y[0, 0, y.shape[2] // 2, y.shape[3] // 2].backward()
        seen = torch.nonzero(x.grad[0].sum(0))
        assert (seen.max(0).values - seen.min(0).values + 1).tolist() == expected


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (
            (
                nn.ConvTranspose2d(4, 4, 2, 2),
                nn.ConvTranspose2d(4, 4, 2, 2),
                nn.Conv2d(4, 4, 3),
                nn.Conv2d(4, 4, 3),
            ),
            2,
        ),
        ((nn.ConvTranspose2d(4, 4, 2, 2), nn.Conv2d(4, 4, 2), nn.Conv2d(4, 4, 2)), 2),
        ((nn.Conv2d(4, 4, 2, padding="same"), nn.Conv2d(4, 4, 2, padding="same"), nn.Conv2d(4, 4, 3)), 5),
    ],
)
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_fractions_are_rounded_once(layers, expected):
    """Behind transposed convolutions outputs stand between inputs."""
    found = inspect_architecture(nn.Sequential(*layers).eval(), (torch.rand(1, 4, 24, 24),)).layers
    assert found[-1].receptive_field == [expected] * 2


def test_series_are_followed_once_they_are_convolved():
    """(batch, time, features) looks like (batch, channels, time): nothing is claimed of the former."""
    tokens = nn.Sequential(nn.Linear(16, 8), nn.ReLU()).eval()
    assert inspect_architecture(tokens, (torch.rand(2, 5, 16),)).layers[-1].receptive_field is None
    gru = nn.GRU(16, 4, batch_first=True).eval()
    assert inspect_architecture(gru, (torch.rand(2, 5, 16),)).layers[-1].receptive_field is None
    series = nn.Sequential(nn.Conv1d(16, 8, 3), nn.MaxPool1d(2), nn.Conv1d(8, 4, 3)).eval()
    assert inspect_architecture(series, (torch.rand(2, 16, 30),)).layers[-1].receptive_field == [8]
