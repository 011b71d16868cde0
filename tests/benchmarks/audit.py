"""What asking again and accounting cost beside a run of 5,000 pictures through a ResNet-18."""

import time

import numpy as np
import torch
from torchvision.models import resnet18

import evalkit
from evalkit.digests import OrderFreeDigest, input_codes
from evalkit.parts.statistics import InputStatistics

N, SIDE, BATCH = 5_000, 64, 256


def run() -> None:
    """One run, its own clock; the accounting of the same inputs alone."""
    torch.manual_seed(0)
    x, y = torch.rand(N, 3, SIDE, SIDE), torch.arange(N) % 10
    data = torch.utils.data.TensorDataset(x, y)
    model = resnet18(num_classes=10)
    result = evalkit.evaluate(model, data, class_names=[str(k) for k in range(10)], batch_size=BATCH)
    seconds = result.document.run["seconds"]
    print(f"ResNet-18, {N:,} pictures of {SIDE} x {SIDE}: inference {seconds['inference']:.1f} s")
    share = seconds["audit"] / seconds["inference"]
    print(f"audit standard {seconds['audit']:.2f} s, {share:.1%} of it   must: <= 2 %")
    print(f"accounting (digests, duplicates, statistics) {_accounting(x.numpy()):.2f} s, part of inference")


def _accounting(x: np.ndarray) -> float:
    start, digest, statistics, prints = time.perf_counter(), OrderFreeDigest(), InputStatistics(), []
    for k in range(0, N, BATCH):
        codes = input_codes([x[k : k + BATCH]])
        digest += OrderFreeDigest.of_codes(codes)
        prints.append(codes[:, 0])
        statistics.add(np.arange(k, k + len(x[k : k + BATCH])), x[k : k + BATCH])
    np.sort(np.concatenate(prints))
    return time.perf_counter() - start
