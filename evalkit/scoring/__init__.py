"""The other trunk: predictions from anywhere become an EvalResult; never torch."""

from evalkit.scoring.opened import OpenedTable, open_scores
from evalkit.scoring.own import OwnRun, own_run
from evalkit.scoring.rule import make_decision, metrics_error
from evalkit.scoring.table import Scored, score_table
from evalkit.scoring.tally import Tally

__all__ = [
    "OpenedTable",
    "OwnRun",
    "Scored",
    "Tally",
    "make_decision",
    "metrics_error",
    "open_scores",
    "own_run",
    "score_table",
]
