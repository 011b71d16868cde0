"""The Python door: evaluate a model, score predictions, or count along in a loop of one's own.

>>> import evalkit
>>> result = evalkit.score([0, 1, 2, 2], y_pred=[0, 2, 2, 2])
>>> result.value("accuracy"), result.value("recall", average="macro")
(0.75, 0.6666666666666666)
"""

from evalkit.api.model import evaluate
from evalkit.api.result import EvalResult
from evalkit.api.scores import Accumulator, score

__all__ = ["Accumulator", "EvalResult", "evaluate", "score"]
