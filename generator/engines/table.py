"""Table of the engines, a row each: what differs from ONNX Runtime on a packed file is said there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tbgen.export.errors import UserError
from tbgen.export.layout import PACKED, PADDED
from tbgen.export.provenance import PLAN_FILE, Provenance
from tbgen.generator.engines.engine import Engine, OwnProcess
from tbgen.generator.engines.onnx_trt.accelerator import accelerate, refuse_converted
from tbgen.generator.engines.tensorrt.build_script import BUILDER
from tbgen.generator.engines.tensorrt.plan import refuse_onnx, run_plan

if TYPE_CHECKING:
    from tbgen.export.exported import Exported

# A call on a GPU costs what some 600 tokens cost (kcbert-large, TensorRT 8.5: 1 x 128 in 1.1 ms, 32 x 128 in 5.9).
_BY_TENSORRT: dict[str, Any] = {
    "layouts": (PADDED,),
    "instances": "KIND_GPU",
    "own_tokenizer": True,
    "calls": {"call_tokens": 600, "max_tokens": 16384},
    "graph": "ensemble",
}
_ONNX = Engine("onnx", "onnxruntime", "onnxruntime_onnx", "model.onnx", "fp32")
_PLAN = Engine(
    "trt_fp16",
    "tensorrt",
    "tensorrt_plan",
    "model.plan",
    "fp16",
    format=PLAN_FILE,
    refuse=refuse_onnx,
    builder=BUILDER,
    run=run_plan,
    own_process=OwnProcess("plan_engine.py", "PlanEngine", "plan", ("tensorrt",)),
    knobs={"rows a call": (), "padding": (), "buckets": ()},  # they are its profiles'
    **_BY_TENSORRT,
)

ENGINES: dict[str, Engine] = {
    engine.name: engine
    for engine in (
        _ONNX,
        replace(_ONNX, name="onnx_fp16", precision="fp16"),
        replace(_ONNX, name="onnx_int8", precision="int8", padding_cost=0.4),  # 8 bits make the layers alone cheaper
        replace(
            _ONNX, name="onnx_trt", refuse=refuse_converted, configure=accelerate, own_process=None, **_BY_TENSORRT
        ),
        _PLAN,
        replace(_PLAN, name="trt_fp32", precision="fp32"),
    )
}


def own_process_steps() -> dict[str, OwnProcess]:
    """The steps that run an engine's file in the model's own process, by class."""
    return {engine.own_process.step: engine.own_process for engine in ENGINES.values() if engine.own_process}


def engine_steps() -> tuple[str, ...]:
    """The classes of the steps that run an engine, or call one."""
    return ("Engine", *own_process_steps())


def check_export(engine: Engine, exported: Exported) -> None:
    """Raise UserError when the export's file is not what the engine runs."""
    file, made = exported.model.name, exported.made
    if exported.packed and PACKED not in engine.layouts:
        raise UserError(
            f"{file} has the packed layout, which engine {engine.name} does not read; export it with --layout padded"
        )
    engine.refuse(engine, exported)
    if engine.exports_itself and made.engine != engine.name:
        raise UserError(f"engine {engine.name} runs what its own export makes of a checkpoint: name that with --source")
    if made.engine not in ("", engine.name):
        raise UserError(f"{file} runs in engine {made.engine} alone: use --engine {made.engine}")
    if made.format != engine.format:
        raise UserError(
            f"{file} is a {made.format}, engine {engine.name} runs an {engine.format}; use --engine {_runner_of(made)}"
        )
    if made.precision != engine.precision:
        raise UserError(f"{file} is {made.precision}: use --engine {_runner_of(made)}")


def _runner_of(made: Provenance) -> str:
    """The first engine that runs such a file."""
    return next(row.name for row in ENGINES.values() if (row.format, row.precision) == (made.format, made.precision))
