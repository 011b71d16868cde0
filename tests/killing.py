"""A program that kills its own runs: ``killing.py SPEC OLD OUT SEED KILLS``, in forks, at chosen moments.

Moments are the writes (half of the bytes are out), flushes and renames of the file layer, and the batches. After
every kill the folder is looked at as a reader would; what was seen is printed as JSON.
"""

import json
import os
import random
import shutil
import signal
import sys
from hashlib import sha256
from pathlib import Path

import torch

from evalkit import files, running
from evalkit.cli import main
from evalkit.result import read_result


class Killer:
    """Counts moments, and ends the process at one of them."""

    def __init__(self, moment):
        self.moment = moment
        self.n = 0

    def at(self, before_it_dies=lambda: None):
        self.n += 1
        if self.n == self.moment:
            before_it_dies()
            os.kill(os.getpid(), signal.SIGKILL)

    def install(self):
        write, flush, rename, take = files.write, files.flush, files.rename, running.Run.take

        def half(file, content):
            self.at(lambda: (file.write(memoryview(content)[: len(content) // 2]), file.flush()))
            return write(file, content)

        def flushed(file):
            self.at()
            flush(file)

        def renamed(source, target):
            self.at()
            rename(source, target)

        def taken(run, position, batch):
            self.at()
            take(run, position, batch)

        files.write, files.flush, files.rename, running.Run.take = half, flushed, renamed, taken


def run(words, moment):
    """Run a command in a fork; gives its status and the number of moments that it had."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        killer = Killer(moment)
        killer.install()
        code = main(words)
        os.write(writing, str(killer.n).encode())
        os._exit(code)
    os.close(writing)
    said = os.read(reading, 100)
    os.close(reading)
    return os.waitpid(child, 0)[1], int(said or 0)


def seen(out):
    """Return the digest of the documents that belong together, as a reader finds them; fails where they do not."""
    read_result(out)  # puts back what was half replaced
    result = (out / "result.json").read_bytes()
    verdict = json.loads((out / "verdict.json").read_text())
    assert verdict["result_sha256"] == sha256(result).hexdigest(), "verdict and result of two runs"
    document = json.loads(result)
    assert document["signature"] in (out / "report.html").read_text(), "page and result of two runs"
    names = ("predictions.parquet", "gallery.parquet")
    weights = document["digests"]["weights"]
    return weights, [sha256((out / name).read_bytes()).hexdigest() for name in names]


def all_kills(spec, old, out, seed, n_kills):
    """Kill runs until there were enough kills; every time the new report is complete, the old one comes back."""
    shutil.copytree(old, out)
    main(["run", spec, "-o", f"{out}.first", "--quiet"])  # everything is imported now, in every fork
    words = ["run", spec, "-o", str(out), "--resume", "--quiet"]
    sure = random.Random(seed)  # noqa: S311 - no secret
    found = []
    while len(found) < n_kills:
        status, _ = run(words, sure.randint(1, 90))
        if os.WIFSIGNALED(status):
            found.append(seen(out))
            continue
        assert status == 0, f"exit {os.waitstatus_to_exitcode(status)}"
        found.append(seen(out))
        shutil.rmtree(out)
        shutil.copytree(old, out)
    assert run(words, 0)[0] == 0
    return {"found": found, "last": seen(out), "left": sorted(path.name for path in out.iterdir())}


if __name__ == "__main__":
    torch.set_num_threads(1)
    running.PART_SECONDS = running.LOST_SHARE = 0
    running.CHECK_SHARE = float("inf")
    spec, old, out, seed, n_kills = sys.argv[1:]
    sys.stdout.write("\n" + json.dumps(all_kills(spec, Path(old), Path(out), int(seed), int(n_kills))))
