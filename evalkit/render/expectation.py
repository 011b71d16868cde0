"""The console's words on a number that was seen elsewhere."""

from collections.abc import Mapping
from typing import Any


def expectation_text(found: Mapping[str, Any], *, limit: int = 6) -> list[str]:
    """Return what was found as lines."""
    lines = [str(found["text"])]
    agreeing = [one for one in found["attempts"] if one["agrees"]]
    lines += [f"  this gives it: {one['what']}: {one['value']:.6g}" for one in agreeing[:limit]]
    if not found["agrees"] and not agreeing:
        lines.append("  nothing that was tried gives it; nearest:")
        lines += [f"  {one['value']:.6g}  {one['what']}" for one in found["attempts"][:limit]]
    return lines
