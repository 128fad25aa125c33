"""Whether TensorRT would read an ONNX file, asked of TensorRT-RTX: its parser and builder need no GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tbgen.export.errors import UserError, require
from tbgen.export.tensorrt.builder import builder_config, network_from_onnx, plan_bytes, precision_of
from tbgen.export.tensorrt.plan import logger_of, title
from tbgen.export.tensorrt.profiles import Profile
from tbgen.export.tensorrt.versions import TRAITS, WORKSPACE, Traits

LIKE = TRAITS["11"]  # TensorRT-RTX 1.7 has its API: types are the file's, and no network flag is needed
COMPUTE_CAPABILITY = "SM89"  # one that TensorRT-RTX builds for where there is no GPU to ask


@dataclass(frozen=True)
class RtxReading:
    """What TensorRT-RTX made of a file: whether it reads (and builds) it, None where it was not asked; its words."""

    file: Path
    reads: bool | None
    says: str


def rtx() -> Any:
    """The bindings of TensorRT-RTX. Raises MissingExtra."""
    return require("tensorrt_rtx_bindings", extra="rtx")


def reading_of(onnx_file: Path, profiles: Sequence[Profile] = ()) -> RtxReading:
    """Parse the file, and where there are profiles build a plan for them, which is thrown away. Raises MissingExtra."""
    trt, errors = rtx(), list[str]()
    builder = trt.Builder(logger_of(trt, errors))
    try:
        network = network_from_onnx(trt, builder, onnx_file, LIKE, errors)
        says = f"{title(trt)} reads it as a network of {network.num_layers} layers"
        if profiles:
            config = rtx_configured(trt, builder, network, LIKE, onnx_file, profiles)
            megabytes = plan_bytes(trt, builder, network, config, errors).nbytes / 1e6
            says += f" and builds it for {', '.join(map(str, profiles))} ({megabytes:.1f} MB)"
    except UserError as error:
        return RtxReading(onnx_file, False, error.message)
    return RtxReading(onnx_file, True, says)


def rtx_configured(
    trt: Any, builder: Any, network: Any, traits: Traits, onnx_file: Path, profiles: Sequence[Profile]
) -> Any:
    """The configuration that a plan of this file is built with, for a GPU that need not be there."""
    config = builder_config(
        trt,
        builder,
        network,
        traits,
        precision=precision_of(onnx_file),
        profiles=profiles,
        workspace=WORKSPACE,
    )
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(trt.ComputeCapability, COMPUTE_CAPABILITY), 0)
    return config
