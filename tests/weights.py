"""A small network, its weights, and whether two of them are equal: for tests of checkpoints."""

import torch
from torch import nn

from evalkit.checkpoints.loading import load_weights
from evalkit.checkpoints.reader import read_checkpoint


def network(width=6):
    return nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 3))


def trained_network():
    """The network with values that no initialisation gives."""
    torch.manual_seed(1)
    model = network()
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.randn_like(value))
    return model


def load(model, path, **options):
    return load_weights(model, read_checkpoint(path), **options)


def prefixed(state, prefix):
    return {prefix + key: value for key, value in state.items()}


def equal(model, other):
    ours, theirs = model.state_dict(), other.state_dict()
    return all(torch.equal(ours[key], theirs[key]) for key in theirs)
