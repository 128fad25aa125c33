"""Ensembles that Triton's core judges, by themselves and with the models that they call."""

from __future__ import annotations

from pathlib import Path

from tests.triton.broken.changes import add, both, edit, nothing, put
from tests.triton.good_models import ensemble, write

TEXT_MAP = 'input_map { key: "text" value: "text" }'
IDS_MAP = 'input_map { key: "ids" value: "ids" }'
SCORES_OUT = 'output_map { key: "scores" value: "scores" }'


def swap_steps(folder: Path) -> None:
    """Write the second step first; the order of the steps does not matter."""
    file = folder / "config.pbtxt"
    text = file.read_text(encoding="utf-8")
    head, first, second = text.split("  step {")
    write(file, "  step {".join((head, second.removesuffix("}\n"), f"{first}}}\n")))


def mix_decoupled(folder: Path) -> None:
    """Let one step read what two decoupled models give."""
    text = (folder / "config.pbtxt").read_text(encoding="utf-8")
    head = text.partition("ensemble_scheduling")[0]
    step = (
        '  step {{ model_name: "good_decoupled" model_version: -1 input_map {{ key: "text" value: "text" }} '
        'output_map {{ key: "ids" value: "{}" }} }}\n'
    )
    pair = (
        '  step { model_name: "good_pair" model_version: -1 input_map { key: "ids" value: "a" } '
        'input_map { key: "mask" value: "b" } output_map { key: "scores" value: "scores" } }\n'
    )
    write(folder / "config.pbtxt", f"{head}ensemble_scheduling {{\n{step.format('a')}{step.format('b')}{pair}}}\n")


ENSEMBLES = {
    # ensembles by themselves
    "no_steps": (ensemble, put("config.pbtxt", 'platform: "ensemble"\nensemble_scheduling { }\n')),
    "no_scheduling": (ensemble, put("config.pbtxt", 'platform: "ensemble"\n')),
    "steps_without_platform": (ensemble, edit('platform: "ensemble"', 'backend: "python"')),
    "steps_without_platform_or_backend": (ensemble, edit('platform: "ensemble"', "")),
    "optimized": (ensemble, add("optimization { graph { level: 1 } }\n")),
    "step_without_model": (ensemble, edit('model_name: "good_engine"', "")),
    "step_without_inputs": (ensemble, edit(IDS_MAP, "")),
    "step_without_outputs": (ensemble, edit(SCORES_OUT, "")),
    "input_unused": (ensemble, edit(TEXT_MAP, 'input_map { key: "text" value: "texts" }')),
    "output_unmapped": (ensemble, edit(SCORES_OUT, 'output_map { key: "scores" value: "logits" }')),
    "tensor_unconnected": (ensemble, edit(IDS_MAP, 'input_map { key: "ids" value: "tokens" }')),
    "tensor_written_twice": (
        ensemble,
        edit(SCORES_OUT, 'output_map { key: "scores" value: "ids" }'),
    ),
    "tensor_left_over": (
        ensemble,
        both(
            edit('name: "scores"\n', 'name: "ids"\n'),
            edit("TYPE_FP32\n  dims: [ 3 ]", "TYPE_INT64\n  dims: [ -1 ]"),
        ),
    ),
    "steps_in_a_circle": (
        ensemble,
        edit(TEXT_MAP, TEXT_MAP + ' input_map { key: "more" value: "scores" }'),
    ),
    "steps_backwards": (ensemble, swap_steps),
    # ensembles and their models
    "model_missing": (ensemble, edit('"good_engine"', '"no_engine"')),
    "version_missing": (ensemble, edit("model_version: -1", "model_version: 7")),
    "calls_itself": (ensemble, edit('"good_engine"', '"calls_itself"')),
    "calls_a_broken_model": (ensemble, edit('"good_python"', '"no_version"')),
    "input_missing": (ensemble, edit(IDS_MAP, 'input_map { key: "tokens" value: "ids" }')),
    "output_missing": (ensemble, edit(SCORES_OUT, 'output_map { key: "logits" value: "scores" }')),
    "input_unmapped": (
        ensemble,
        edit('"good_engine"', '"good_pair"'),
    ),
    "extra_input": (ensemble, edit(IDS_MAP, IDS_MAP + ' input_map { key: "mask" value: "ids" }')),
    "output_of_another_type": (ensemble, edit("TYPE_FP32", "TYPE_INT64")),
    "output_of_another_shape": (ensemble, edit("dims: [ 3 ]", "dims: [ 2 ]")),
    "output_open": (ensemble, edit("dims: [ 3 ]", "dims: [ -1 ]")),
    "output_of_another_rank": (ensemble, edit("dims: [ 3 ]", "dims: [ 3, 1 ]")),
    "text_as_numbers": (ensemble, edit("TYPE_STRING", "TYPE_UINT8")),
    "text_of_another_shape": (ensemble, edit("dims: [ 1 ]", "dims: [ 2 ]")),
    "batch_too_large": (ensemble, edit("max_batch_size: 4", "max_batch_size: 8")),
    "batch_smaller": (ensemble, edit("max_batch_size: 4", "max_batch_size: 2")),
    "no_batch_axis": (ensemble, edit("max_batch_size: 4", "")),
    "full_shapes": (
        ensemble,
        both(
            edit("max_batch_size: 4", ""),
            edit("dims: [ 1 ]", "dims: [ -1, 1 ]"),
            edit("dims: [ 3 ]", "dims: [ -1, 3 ]"),
        ),
    ),
    "decoupled_mixing": (ensemble, mix_decoupled),
    "good_ensemble_again": (ensemble, nothing),
}
