"""Spark classifies and counts, evalkit judges: what leaves the cluster is one row a pair of classes.

spark-submit samples/scale/spark_counts.py images.parquet out/counts
evalkit score out/counts --count count --labels-are indices \
    --classes '["0","1","2","3","4","5","6","7","8","9"]' -o out/spark-judged

The table has a column `pixels` (an array of 64 numbers) and a column `y_true` (0 to 9).
"""

import sys
from pathlib import Path

import numpy as np
import torch

DIGITS = Path(__file__).resolve().parents[1] / "digits"


def make_predict():
    """Load the model, once a Python worker; gives what takes its batches."""
    sys.path.insert(0, str(DIGITS))
    from model import build  # noqa: PLC0415 - beside the model, on any worker

    model = build()
    model.load_state_dict(torch.load(DIGITS / "checkpoints/digits_cnn.pt", weights_only=True))
    model.eval()

    def predict(pixels):
        with torch.inference_mode():
            return model(torch.from_numpy(pixels.astype(np.float32))).argmax(dim=1).numpy()

    return predict


def main(table, out):
    from pyspark.ml.functions import predict_batch_udf  # noqa: PLC0415 - the function above needs none
    from pyspark.sql import SparkSession  # noqa: PLC0415
    from pyspark.sql.types import LongType  # noqa: PLC0415

    classify = predict_batch_udf(
        make_predict, return_type=LongType(), batch_size=256, input_tensor_shapes=[[1, 8, 8]]
    )
    rows = SparkSession.builder.getOrCreate().read.parquet(table)
    predicted = rows.select("y_true", classify("pixels").alias("y_pred"))
    predicted.groupBy("y_true", "y_pred").count().write.parquet(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
