"""Options that take numbers."""

import math
from typing import Any

import click


class Finite(click.FloatRange):
    """A number in a range; NaN is none, whatever the range."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the number."""
        found = float(super().convert(value, param, ctx))
        if not math.isfinite(found):
            self.fail(f"{value} is no number", param, ctx)
        return found
