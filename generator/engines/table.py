"""Table of the engines, a row each: what differs from ONNX Runtime on a packed file is said there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tbgen.export.errors import NoSuchName, UserError
from tbgen.export.layout import MODEL_ONNX, MODEL_PLAN, PACKED, PADDED
from tbgen.export.provenance import PLAN_FILE, Provenance
from tbgen.export.run import NORMS_IN_FP32, cuda_here
from tbgen.generator.devices import CPU, GPU, tensorrt_here
from tbgen.generator.engines.cuda import cuda_options
from tbgen.generator.engines.engine import Engine, OwnProcess
from tbgen.generator.engines.onnx_cuda.file import recordable, refuse_for_cpus, refuse_for_gpus
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
# ONNX Runtime on a GPU (docs/how-to/gpu.md). A call costs what 1,000 (kcbert-large) to 2,000 tokens (-base) cost:
# launching is the limit of a text alone. Beyond 8,192 tokens a batch gains little and waits long. One tokenizer, BLS or
# single model leaves the GPU idle. The arena's growth made no difference in time: it takes what it needs.
_BY_CUDA: dict[str, Any] = {
    "own_tokenizer": True,
    "calls": {"call_tokens": 1000, "max_tokens": 8192},
    "copies": {"tokenizer": 2, "bls": 2, "single": 2},
    "cuda": {"arena_extend_strategy": "kSameAsRequested"},
    "configure": cuda_options,
    "own_process": OwnProcess("cuda_engine.py", "CudaEngine"),
    "knobs": {"tokens a call": (2048, 4096, 8192, 16384)},
}
# TF32, ONNX Runtime's default, moves the logits of an FP32 file by 0.003 to 0.02: it is off, for FP32 is held to 1e-4.
_FP32_BY_CUDA = {**_BY_CUDA, "cuda": {**_BY_CUDA["cuda"], "use_tf32": "0"}}
_ONNX = Engine("onnx", "onnxruntime", "onnxruntime_onnx", MODEL_ONNX, "fp32", refuse=refuse_for_gpus, gpu=_FP32_BY_CUDA)
_PLAN = Engine(
    "trt_fp16",
    "tensorrt",
    "tensorrt_plan",
    MODEL_PLAN,
    "fp16",
    format=PLAN_FILE,
    refuse=refuse_onnx,
    builder=BUILDER,
    run=run_plan,
    here=tensorrt_here,
    own_process=OwnProcess("plan_engine.py", "PlanEngine", "plan", ("tensorrt",)),
    knobs={"rows a call": (), "padding": (), "buckets": ()},  # they are its profiles'
    **_BY_TENSORRT,
)

ENGINES: dict[str, Engine] = {
    engine.name: engine
    for engine in (
        _ONNX,
        replace(_ONNX, name="onnx_fp16", precision="fp16", gpu={**_BY_CUDA, "layouts": (PADDED,), "optimize": True}),
        # 8 bits make the layers alone cheaper; a GPU has no kernels for them
        replace(_ONNX, name="onnx_int8", precision="int8", padding_cost=0.4, gpu=None),
        # the padding that a request brings is left out before the layers
        replace(
            _ONNX,
            name="onnx_cuda",
            precision="fp16",
            layouts=(PACKED,),
            optimize=True,
            refuse=refuse_for_cpus,
            here=cuda_here,
            twin=True,
            instances="KIND_GPU",
            padding_cost=0.02,
            rows=128,  # of 29 tokens: nine tenths of the texts a second that any batch gives on kcbert-large
            gpu={
                **_BY_CUDA,
                "cuda": {**_BY_CUDA["cuda"], **NORMS_IN_FP32},
                "own_process": replace(_BY_CUDA["own_process"], prepare=recordable),
            },
        ),
        replace(
            _ONNX,
            name="onnx_trt",
            refuse=refuse_converted,
            here=lambda: False,  # the stand-ins have no such accelerator
            configure=accelerate,
            own_process=None,
            gpu={},
            **_BY_TENSORRT,
        ),
        _PLAN,
        replace(_PLAN, name="trt_fp32", precision="fp32"),
    )
}


def engine_named(name: str | None) -> Engine:
    """The engine of a name, which a record may say that another wrote. Raises NoSuchName."""
    if name not in ENGINES:
        raise NoSuchName("engine", str(name), [*ENGINES])
    return ENGINES[name]


def engine_of_settings(settings: Mapping[str, Any]) -> Engine:
    """The engine that a model's record says, on its device. Raises NoSuchName."""
    return engine_named(settings.get("engine")).on(settings.get("device") or CPU)


def own_process_steps() -> dict[str, OwnProcess]:
    """The steps that run an engine's file in the model's own process, by class."""
    rows = (row for engine in ENGINES.values() for row in (engine, engine.on(GPU)))
    return {row.own_process.step: row.own_process for row in rows if row.own_process}


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
            f"{file} is a {made.format}, engine {engine.name} runs an {engine.format}; use --engine {runner_of(made)}"
        )
    if made.precision != engine.precision:
        raise UserError(f"{file} is {made.precision}: use --engine {runner_of(made)}")


def runner_of(made: Provenance) -> str:
    """The first engine that runs such a file; a word that is none where no engine does."""
    kind = (made.format, made.precision, made.for_gpus)
    rows = (row.name for row in ENGINES.values() if (row.format, row.precision, row.twin) == kind)
    return made.engine or next(rows, "none")
