"""The network of samples/digits, for any number of classes: features, and a head that can be replaced.

A pickled whole model names this module and its class; a state_dict names neither.
"""

import torch
from torch import nn


class ShapeNet(nn.Module):
    """Maps images, float32, shape (n, 1, 8, 8), to one logit a class."""

    def __init__(self, n_classes: int = 3, width: int = 24, dropout: float = 0.3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=2, dilation=2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False),
            nn.Conv2d(width, 2 * width, 1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(8 * width, n_classes))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(images))


def build(n_classes: int = 3) -> ShapeNet:
    """Build the network with random weights."""
    return ShapeNet(n_classes)
