"""The console's words for ``evalkit inspect``: what a file holds, and the layers of its model."""

from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.display import MAX_TEXT, visible
from evalkit.errors import listed
from evalkit.render.layers import COLUMNS, layers_view
from evalkit.render.text import table

SHOWN_TENSORS = 40
_INTEGRITY = {
    "crc_verified": "its checksums hold",
    "crc_not_recorded": "written without checksums",
    "not_verifiable": "its format has no checksums: pin it with --sha256",
}


def render_inventory(found: Mapping[str, Any], *, all_tensors: bool) -> str:
    """Return what a file holds as lines.

    Args:
        found: The inventory as a document.
        all_tensors: List every tensor, not the first ones.
    """
    file = found["file"]
    order = ", big-endian" if file["byteorder"] == "big" else ""
    what = f"{file['format']}{order}, {file['n_bytes']:,} bytes, {_INTEGRITY[file['file_integrity']]}"
    lines = [f"{visible(str(found['path']))}: {what}", f"  sha256    {file['sha256']}"]
    for key, held in found["class_names"].items():
        shown = listed([visible(name) for name in held], limit=6)
        lines.append(f"  names     checkpoint:{visible(key)}: {shown}")
    beside = [f"{key} {value}" for key, value in (found["values"] | found["metadata"]).items()]
    if beside:
        lines.append(f"  beside    {visible(listed(beside, limit=12), limit=MAX_TEXT)}")
    if file["not_read"]:
        lines.append(f"  not read  {listed(file['not_read'], limit=12)}")
    lines.append(f"  to run    {found['command']}")
    sets = found["weights"]
    large = [one for one in sets if 2 * len(one["tensors"]) >= len(sets[0]["tensors"])]
    lines += [_weights(one, all_tensors=all_tensors) for one in large]
    if len(large) < len(sets):
        names = listed([visible(one["name"]) for one in sets[len(large) :]], limit=4)
        lines.append(f"\n  beside the weights {len(sets) - len(large)} smaller sets of tensors: {names}")
    if not sets:
        lines.append("  no weights: no dictionary of tensors in it")
    return "\n".join(lines) + "\n"


def _weights(weights: Mapping[str, Any], *, all_tensors: bool) -> str:
    tensors: Sequence[Mapping[str, Any]] = weights["tensors"]
    shown = tensors if all_tensors else tensors[:SHOWN_TENSORS]
    rows = [
        [one["key"], " x ".join(map(str, one["shape"])) or "scalar", one["dtype"], one["refusal"] or ""]
        for one in shown
    ]
    whole = f" (a whole model: {weights['module']}, whose code is not used)" if weights["module"] else ""
    title = f"\n  weights   {visible(weights['name'] or '(the whole file)')}{whole}: "
    title += f"{len(tensors):,} tensors, {weights['n_elements']:,} elements"
    refused = sum(one["refusal"] is not None for one in tensors)
    title += f", {refused} refused" if refused else ""
    rest = len(tensors) - len(shown)
    more = f"\n  and {rest:,} more: --all" if rest > 0 else ""
    return title + table(["tensor", "shape", "type", ""], rows, numeric=False).rstrip() + more


def render_layers(model: Mapping[str, Any]) -> str:
    """Return the layer table as lines."""
    view = layers_view(model)
    if view is None:
        return ""
    header = [name.lower() for name in COLUMNS]
    rows = table(header, view.rows, numeric=False) if view.rows else "\n"
    return "\n".join([f"  {view.caption}", rows, *(f"  {note}" for note in view.notes)]) + "\n"
