"""Children of ``evalkit run`` without a process each: in this one, where everything is imported already."""

import contextlib
import io

from evalkit.cli import children, main


def in_process(words, *, label, verbose):
    """A child in this process, where everything is imported already; its stderr goes the same way."""
    out, err = io.TextIOWrapper(io.BytesIO()), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words[words.index("evalkit") + 1 :])
    heard = children._Heard()
    children._listen(io.StringIO(err.getvalue()), label, heard)
    return children._ended(code, heard.problem)
