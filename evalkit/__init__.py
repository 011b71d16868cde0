"""Evaluate trained PyTorch classifiers."""

__version__ = "0.1.0"
