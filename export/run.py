"""An engine file as a function of numpy arrays, by ONNX Runtime on the CPU, or on a GPU what needs one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tbgen.backends.cuda import driver
from tbgen.backends.cuda_session import CUDA, CudaProviderError, cuda_session
from tbgen.backends.plan import PlanError
from tbgen.export.errors import UserError, require
from tbgen.export.layout import LENGTHS
from tbgen.export.reading import FETCH_AGAIN, library_reading

Tensors = dict[str, np.ndarray]
Run = Callable[[Tensors], Tensors]
Watch = Callable[[Tensors, Sequence[str] | None], Tensors]  # tensors, and the outputs wanted

# Of the CUDA provider: norms that are fused with what is added before them sum up in FP32. They do so by themselves
# since June 2026 (microsoft/onnxruntime#28682); before, half precision lost answers where one channel is loud.
NORMS_IN_FP32 = {"enable_skip_layer_norm_strict_mode": "1"}


def cuda_here() -> bool:
    """Whether ONNX Runtime can run on a GPU of this machine."""
    try:
        driver()
    except PlanError:
        return False
    return CUDA in require("onnxruntime", extra="onnx").get_available_providers()


def gpu_run(model: Path) -> Run:
    """ONNX Runtime on the first GPU. Raises UserError where it does not get it, or cannot load the file."""
    errors: tuple[type[Exception], ...] = (CudaProviderError, *runtime_errors(require("onnxruntime", extra="onnx")))
    try:
        run = _watch_of_session(cuda_session(model, 0, NORMS_IN_FP32))
    except errors as error:
        raise UserError(f"{str(model)!r} does not run on the GPU here: {first_line(error)}") from error
    return lambda inputs: run(inputs, None)


def onnx_run(model: Path, *, optimize: bool = True) -> Run:
    """ONNX Runtime on the CPU; a packed graph takes padded rows, too. Raises UserError for a file it cannot load."""
    run = onnx_watch(model, optimize=optimize)
    return lambda inputs: run(inputs, None)


def onnx_watch(model: Path, *, optimize: bool = True) -> Watch:
    """The same, told which outputs to give, so that no others take memory; None is all of them."""
    onnxruntime = require("onnxruntime", extra="onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # it would print its errors beside raising them
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    with library_reading(f"ONNX Runtime cannot load {str(model)!r}", FETCH_AGAIN):
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return _watch_of_session(session)


def _watch_of_session(session: Any) -> Watch:
    """A session as a function; a packed graph takes padded rows, too."""
    every = [output.name for output in session.get_outputs()]
    taken = {node.name for node in session.get_inputs()}
    flat = flat_tensors if "attention_mask" in taken else _real_tensors

    def run(inputs: Tensors, names: Sequence[str] | None) -> Tensors:
        wanted = every if names is None else list(names)
        given = flat(inputs) if LENGTHS in taken else inputs
        return dict(zip(wanted, session.run(wanted, given), strict=True))

    return run


def cached_run(run: Run, most: int = 1 << 28) -> Run:
    """`run`, not run again on tensors that it was given before; `most` bytes of answers are kept."""
    answers: dict[bytes, Tensors] = {}
    held = 0

    def remembered(inputs: Tensors) -> Tensors:
        nonlocal held
        key = b"".join(str(array.shape).encode() + array.tobytes() for array in inputs.values())
        if key in answers:
            return answers[key]
        answer = run(inputs)
        size = sum(array.nbytes for array in answer.values())
        if held + size <= most:
            answers[key], held = answer, held + size
        return answer

    return remembered


def flat_tensors(tensors: Tensors) -> Tensors:
    """Token tensors (rows, width) as a packed graph takes them: flat, with the rows' widths as Triton adds them."""
    rows, width = next(iter(tensors.values())).shape
    flat = {name: tensor.reshape(-1) for name, tensor in tensors.items()}
    return flat | {LENGTHS: np.full(rows, width, dtype=np.int32)}


def _real_tensors(tensors: Tensors) -> Tensors:
    """The same without padding, for a packed graph that takes no mask, with the rows' lengths."""
    real = tensors["attention_mask"] > 0
    flat = {name: tensor[real] for name, tensor in tensors.items() if name != "attention_mask"}
    return flat | {LENGTHS: real.sum(axis=1, dtype=np.int32)}


def runtime_errors(onnxruntime: Any) -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises on a file or a tensor that it cannot use; the classes share no base of their own."""
    state = onnxruntime.capi.onnxruntime_pybind11_state
    return (
        state.Fail,
        state.InvalidProtobuf,
        state.InvalidGraph,
        state.InvalidArgument,
        state.NotImplemented,
        state.RuntimeException,
    )


def first_line(error: BaseException) -> str:
    """The first line of what an exception says, without ONNX Runtime's places in its own source."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line.rsplit("Status Message: ", 1)[-1].rsplit(" was false. ", 1)[-1]
