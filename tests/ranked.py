"""A program for torchrun: ``ranked.py CASES`` calls evalkit once for each list of words in the JSON file.

``{rank}`` in a word stands for the rank. Exit codes go to ``CASES.RANK``, what was printed to files beside it.
"""

import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path

import torch

from evalkit.cli import main


@contextmanager
def printed_to(path):
    """Send stdout and stderr, whoever writes to them, to two files."""
    kept = {number: os.dup(number) for number in (1, 2)}
    try:
        for number, name in ((1, "out"), (2, "err")):
            file = os.open(f"{path}.{name}", os.O_WRONLY | os.O_CREAT)
            os.dup2(file, number)
            os.close(file)
        yield
    finally:
        sys.stdout.flush()
        for number, old in kept.items():
            os.dup2(old, number)
            os.close(old)


def all_cases(cases, rank):
    codes = {}
    for name, words in json.loads(cases.read_text()).items():
        with printed_to(f"{cases}.{name}.{rank}"):
            codes[name] = main([word.replace("{rank}", rank) for word in words])
    Path(f"{cases}.{rank}").write_text(json.dumps(codes))


if __name__ == "__main__":
    torch.set_num_threads(1)
    all_cases(Path(sys.argv[1]), os.environ["RANK"])
