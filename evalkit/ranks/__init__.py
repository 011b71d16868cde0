"""Ranks: one evaluation by several processes over one run folder, which wait for each other at its ends.

``world`` is imported where there are any: not every torch is built with its distributed half.
"""

from evalkit.ranks.board import Board, Report, error_of, words_of
from evalkit.ranks.place import Place
from evalkit.ranks.signs import Signs
from evalkit.ranks.tally import Tally
from evalkit.ranks.token import TOKEN, holds_token, write_token

__all__ = [
    "TOKEN",
    "Board",
    "Place",
    "Report",
    "Signs",
    "Tally",
    "error_of",
    "holds_token",
    "words_of",
    "write_token",
]
