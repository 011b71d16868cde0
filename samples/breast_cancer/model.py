"""A small network for tables: one logit, that of the positive class."""

import torch
from torch import nn


class TableNet(nn.Module):
    """Maps standardised features, float32, shape (n, 30), to one logit, shape (n, 1)."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.scale = nn.BatchNorm1d(30, affine=False)
        self.layers = nn.Sequential(nn.Linear(30, width), nn.ReLU(), nn.Dropout(0.2), nn.Linear(width, 1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.layers(self.scale(features))


def build(width: int = 16) -> TableNet:
    """Build the network with random weights."""
    return TableNet(width)
