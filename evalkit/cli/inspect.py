"""``evalkit inspect``: what a checkpoint holds and, with a model, its layers."""

import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.console import check_current_folder, emit, emit_json, tell
from evalkit.errors import InvalidRunError, SpecificationError
from evalkit.render.inventory import render_inventory, render_layers
from evalkit.spec import Override, load_specification
from evalkit.spec.source import parse_value

if TYPE_CHECKING:
    from evalkit.datasets import Inputs

MAX_INPUT = 100_000_000
_SPECIFICATIONS = (".yaml", ".yml")


@click.command("inspect")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--model", "factory", help="Build this model and load the checkpoint into it: as of run.")
@click.option("--model-args", help="Keyword arguments of the factory, as {key: value}.")
@click.option("--weights", help="Which set of weights, where the checkpoint holds several.")
@click.option("--input-shape", metavar="CxHxW", help="Of one sample, for the layer table: 3x224x224.")
@click.option("--all", "all_tensors", is_flag=True, help="List every tensor.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(
    *,
    path: Path,
    factory: str | None,
    model_args: str | None,
    weights: str | None,
    input_shape: str | None,
    all_tensors: bool,
    as_json: bool,
    debug: bool,  # noqa: ARG001 - read by the catcher
) -> int:
    """Say what PATH holds: a checkpoint, of which nothing is executed, or a specification's checkpoint.

    A specification with a factory, or --model with --input-shape, adds the layer table.
    """
    check_current_folder()
    if path.suffix.lower() in _SPECIFICATIONS:
        if factory is not None or input_shape is not None:
            raise SpecificationError(
                "--model and --input-shape belong to a checkpoint; a specification says its own"
            )
        found = _of_specification(path, weights)
    else:
        found = _of_checkpoint(
            path, factory, parse_value(model_args or "{}", flag="--model-args"), weights, input_shape
        )
    if as_json:
        emit_json(found)
        return 0
    emit(render_inventory(found, all_tensors=all_tensors))
    if found["architecture"] is not None:
        emit("\n" + render_layers(found))
    elif factory is not None:
        tell("the weights fit; --input-shape 3x224x224 adds the layer table")
    return 0


def _of_checkpoint(
    path: Path, factory: str | None, args: Any, weights: str | None, shape: str | None
) -> dict[str, Any]:
    from evalkit.checkpoints.inventory import take_inventory  # noqa: PLC0415 - torch, not for --help
    from evalkit.checkpoints.reader import read_checkpoint  # noqa: PLC0415

    checkpoint = read_checkpoint(path)
    found = {**asdict(take_inventory(checkpoint)), "loaded": None, "architecture": None}
    if factory is None:
        given = {"--input-shape": shape, "--weights": weights, "--model-args": args}
        for flag, value in given.items():
            if value:
                raise SpecificationError(f"{flag}: belongs to --model")
        return found
    from evalkit.checkpoints.filling import filled_model  # noqa: PLC0415

    if not isinstance(args, dict):
        raise SpecificationError("--model-args: expected {key: value}")
    with redirect_stdout(sys.stderr):  # what a model prints is no data of ours
        model, facts = filled_model(checkpoint, factory, args, weights=weights, base=Path())
        table = None if shape is None else _layers(model, _random(shape))
    return {**found, "loaded": facts, "architecture": table}


def _of_specification(path: Path, weights: str | None) -> dict[str, Any]:
    from evalkit.checkpoints.inventory import take_inventory  # noqa: PLC0415 - torch, not for --help
    from evalkit.inference import batch_list, iterate_batches  # noqa: PLC0415
    from evalkit.inference.anatomy import N_SAMPLES  # noqa: PLC0415
    from evalkit.integrity import IntegrityLog  # noqa: PLC0415
    from evalkit.opening import open_specification, read_weights_file  # noqa: PLC0415
    from evalkit.prepare import prepare  # noqa: PLC0415

    chosen = [] if weights is None else [Override("model.weights", weights, "--weights", literal=True)]
    loaded = load_specification(path, overrides=chosen)
    checkpoint = read_weights_file(loaded)
    found = {**asdict(take_inventory(checkpoint)), "loaded": None, "architecture": None}
    if loaded.spec.model.factory is None and "evalkit" not in checkpoint.contents.metadata:
        return found
    with redirect_stdout(sys.stderr):  # what a model prints is no data of ours
        setup = prepare(open_specification(loaded), IntegrityLog())
        first = batch_list(min(N_SAMPLES, len(setup.source)), N_SAMPLES)
        batch = next(iterate_batches(setup.source, first, workers=0))
        table = _layers(setup.model, batch.inputs)
    return {**found, "loaded": setup.model_facts, "architecture": table}


def _layers(model: Any, inputs: "Inputs") -> dict[str, Any]:
    from evalkit.inference.anatomy import anatomy  # noqa: PLC0415 - torch
    from evalkit.setup import floating_dtype, model_device  # noqa: PLC0415

    found = anatomy(model, inputs, model_device(model), floating_dtype(model))
    if "not_available" in found:
        shapes = ", ".join(str(tuple(value.shape)) for value in _tensors(inputs))
        raise InvalidRunError(
            f"the model raised on an input of {shapes}: {found['not_available']}", check="forward"
        )
    return found


def _tensors(inputs: "Inputs") -> list[Any]:
    return list(inputs.values()) if isinstance(inputs, dict) else list(inputs)


def _random(shape: str) -> "Inputs":
    from evalkit.inference.anatomy import random_inputs  # noqa: PLC0415 - torch

    try:
        sizes = [int(part) for part in shape.lower().replace(",", "x").split("x")]
    except ValueError as error:
        raise SpecificationError(f"--input-shape {shape}: expected sizes such as 3x224x224") from error
    if min(sizes) < 1 or prod(sizes) > MAX_INPUT:
        raise SpecificationError(
            f"--input-shape {shape}: expected sizes of 1 and more, {MAX_INPUT:,} values in all"
        )
    return random_inputs(sizes)
