"""Ray Data classifies, evalkit judges.

python samples/scale/ray_score.py samples/digits/data/test.npz out/ray
evalkit score out/ray --output-kind logits --scores 'score_*' --labels-are indices \
    --classes '["0","1","2","3","4","5","6","7","8","9"]' -o out/ray-judged
"""

import sys
from pathlib import Path

import numpy as np
import torch

DIGITS = Path(__file__).resolve().parents[1] / "digits"


class Classify:
    """One actor: the model is loaded once, then batches come and go, none of them padded."""

    def __init__(self):
        sys.path.insert(0, str(DIGITS))
        from model import build  # noqa: PLC0415 - beside the model, on any worker

        self.model = build()
        self.model.load_state_dict(torch.load(DIGITS / "checkpoints/digits_cnn.pt", weights_only=True))
        self.model.eval()

    def __call__(self, batch):
        with torch.inference_mode():
            logits = self.model(torch.from_numpy(np.stack(batch["x"]))).numpy()
        rows = {"sample_id": batch["sample_id"], "y_true": batch["y"]}
        return rows | {f"score_{k}": logits[:, k] for k in range(logits.shape[1])}


def main(data, out):
    import ray  # noqa: PLC0415 - the class above needs none

    arrays = np.load(data)
    samples = [
        {"sample_id": str(i), "x": x, "y": int(y)}
        for i, (x, y) in enumerate(zip(arrays["x"], arrays["y"], strict=True))
    ]
    ray.data.from_items(samples).map_batches(Classify, batch_size=256, concurrency=2).write_parquet(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
