"""Inference: eval mode, inference mode, our own batch list, and the only border from tensors to arrays."""

from evalkit.inference.batches import batch_list, copied, first_line, is_of_worker, iterate_batches
from evalkit.inference.feeding import Fed, feed
from evalkit.inference.loop import Predictor, Taken, relabelled
from evalkit.inference.mode import evaluation_mode, pick_device

__all__ = [
    "Fed",
    "Predictor",
    "Taken",
    "batch_list",
    "copied",
    "evaluation_mode",
    "feed",
    "first_line",
    "is_of_worker",
    "iterate_batches",
    "pick_device",
    "relabelled",
]
