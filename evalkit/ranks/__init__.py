"""Ranks: one evaluation by several processes over one run folder, which wait for each other at its ends."""

from evalkit.ranks.board import Board, Report, error_of, words_of
from evalkit.ranks.signs import Signs
from evalkit.ranks.tally import Tally
from evalkit.ranks.token import TOKEN, holds_token, write_token
from evalkit.ranks.world import Place, World, joined

__all__ = [
    "TOKEN",
    "Board",
    "Place",
    "Report",
    "Signs",
    "Tally",
    "World",
    "error_of",
    "holds_token",
    "joined",
    "words_of",
    "write_token",
]
