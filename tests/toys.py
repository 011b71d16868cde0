"""Tiny models, data and specifications for tests: everything seeded, everything on disk as a user has it."""

import copy
import textwrap
from pathlib import Path

import numpy as np
import torch
import yaml

MODEL = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, n_in=4, n_out=3):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(n_in, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(8, n_out)

    def forward(self, x):
        return self.head(self.body(x))

def build(**args):
    return Net(**args)
"""


class Project:
    """A folder with model.py, weights.pt, test.npz and eval.yaml; parts can be replaced before it is run."""

    def __init__(self, path: Path, *, n_samples: int = 60, n_classes: int = 3, seed: int = 0) -> None:
        path.mkdir(parents=True)
        self.path = path
        self.rng = np.random.default_rng(seed)
        self.x = self.rng.normal(size=(n_samples, 4)).astype(np.float32)
        self.y = self.rng.integers(0, n_classes, n_samples)
        self.spec = {
            "name": "toy",
            "model": {
                "factory": "model:build",
                "args": {"n_out": n_classes},
                "checkpoint": "weights.pt",
                "classes": [f"class {k}" for k in range(n_classes)],
            },
            "data": {"source": "npz", "path": "test.npz"},
        }
        self.write_model(MODEL)
        self.write_data()
        torch.manual_seed(seed)
        self.model = self.build(n_out=n_classes)
        self.save(self.model.state_dict())
        self.write_spec()

    def build(self, **args):
        """Build the network of model.py, with statistics that are not the initial ones."""
        namespace: dict = {}
        exec(compile((self.path / "model.py").read_text(), "model.py", "exec"), namespace)
        model = namespace["build"](**args)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
        return model

    def write_model(self, source: str) -> None:
        (self.path / "model.py").write_text(textwrap.dedent(source))

    def write_data(self, **arrays) -> None:
        np.savez(self.path / "test.npz", **{"x": self.x, "y": self.y, **arrays})

    def save(self, content, name: str = "weights.pt", **options) -> Path:
        torch.save(content, self.path / name, **options)
        return self.path / name

    def write_spec(self, name: str = "eval.yaml", **changes) -> Path:
        """Write the specification with some keys replaced, written `model__output=...`."""
        spec = copy.deepcopy(self.spec)
        for dotted, value in changes.items():
            *blocks, key = dotted.split("__")
            where = spec
            for block in blocks:
                where = where.setdefault(block, {})
            where[key] = value
        path = self.path / name
        path.write_text(yaml.safe_dump(spec, sort_keys=False, allow_unicode=True))
        return path

    def plain_outputs(self, batch: int = 16) -> np.ndarray:
        """What a plain torch loop computes."""
        self.model.eval()
        with torch.no_grad():
            parts = [
                self.model(torch.from_numpy(self.x[i : i + batch])) for i in range(0, len(self.x), batch)
            ]
        return torch.cat(parts).numpy()
