"""From an ONNX file to a TensorRT plan: one builder for TensorRT 8.5 to 11, on the GPU that will serve the plan."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tbgen.export.errors import UserError, require
from tbgen.export.files import write_whole
from tbgen.export.tensorrt.cuda import Gpu, gpu
from tbgen.export.tensorrt.plan import Plan, logger_of, plan_from_file, tensorrt_package, title
from tbgen.export.tensorrt.profiles import Profile
from tbgen.export.tensorrt.versions import WORKSPACE, Traits, traits_of

BuildProgress = Callable[[str, float | None], None]  # what runs now, and the share that is done where it is known

_PRECISIONS = ("fp16", "fp32")
FLOAT16 = 10  # onnx.TensorProto.FLOAT16


def plan_from_onnx(
    onnx_file: Path,
    plan_file: Path,
    *,
    precision: str = "fp16",
    profiles: Sequence[Profile],
    workspace: int = WORKSPACE,
    timing_cache: Path | None = None,
    keep_fp32: Sequence[str] = (),
    on_progress: BuildProgress = lambda _text, _share: None,
) -> Plan:
    """Build `plan_file` for the GPU of this machine and read it back; whole, or not at all.

    Args:
        onnx_file: of the operator set that `traits_of(tensorrt.__version__).opset` names. From TensorRT 10 on its
            types are the plan's types, so that an FP16 plan needs an FP16 file.
        precision: fp16 or fp32.
        profiles: the shapes that the plan takes.
        workspace: bytes of GPU memory that a layer may use.
        timing_cache: folder of the measured tactics, one file for each TensorRT version and GPU.
        keep_fp32: parts of layer names to keep in FP32 under TensorRT 8's FP16 flag.
        on_progress: told what runs now, with the share done where TensorRT tells it (from version 10 on).

    Raises UserError: no GPU, an unknown version, an operator that does not parse, a build that fails; MissingExtra.
    """
    check_precision(precision, keep_fp32)
    trt, card = tensorrt_package(), gpu()
    traits = traits_of(trt.__version__)
    if traits.typed:
        check_types(onnx_file, precision, keep_fp32, trt.__version__)
    errors: list[str] = []
    builder = trt.Builder(logger_of(trt, errors))
    on_progress(f"Reading {onnx_file.name} into {title(trt)}", None)
    network = network_from_onnx(trt, builder, onnx_file, traits, errors)
    config = builder_config(trt, builder, network, traits, precision=precision, profiles=profiles, workspace=workspace)
    keep_layers(network, config, keep_fp32)
    cache_file = timing_cache and timing_cache / cache_name(trt.__version__, card)
    use_cache(config, cache_file)
    watch(trt, config, traits, on_progress)
    serialized = plan_bytes(trt, builder, network, config, errors)
    save_cache(config, cache_file)
    write_whole(plan_file, serialized)
    return plan_from_file(plan_file)


def check_precision(precision: str, keep_fp32: Sequence[str]) -> None:
    """Raise UserError for an unknown precision, and for FP32 exceptions where all is FP32."""
    if precision not in _PRECISIONS:
        raise UserError(f"no precision {precision!r} for a plan; there are {', '.join(_PRECISIONS)}")
    if keep_fp32 and precision == "fp32":
        raise UserError("keep_fp32 names exceptions from fp16; an fp32 plan has none")


def check_types(onnx_file: Path, precision: str, keep_fp32: Sequence[str], version: str) -> None:
    """Raise UserError when a strongly typed build would give another precision than the asked one."""
    typed = precision_of(onnx_file)
    if typed != precision:
        raise UserError(
            f"TensorRT {version} takes its types from the ONNX file, and {onnx_file.name} is {typed}: "
            f"export it with --precision {precision}"
        )
    if keep_fp32:
        raise UserError(f"TensorRT {version} takes its types from the ONNX file: name FP32 layers when exporting it")


def precision_of(onnx_file: Path) -> str:
    """fp16 for a file with any weight of that type."""
    onnx = require("onnx", extra="tensorrt")
    graph = onnx.load(str(onnx_file), load_external_data=False).graph
    return "fp16" if any(tensor.data_type == FLOAT16 for tensor in graph.initializer) else "fp32"


def network_from_onnx(trt: Any, builder: Any, onnx_file: Path, traits: Traits, errors: list[str]) -> Any:
    """Parse the file into a network of the module `trt`. Raises UserError with the node that does not parse."""
    flags = sum(1 << int(getattr(trt.NetworkDefinitionCreationFlag, name)) for name in traits.network_flags)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, logger_of(trt, errors))
    if not parser.parse_from_file(str(onnx_file)) or parser.num_errors:
        raise UserError(f"{title(trt)} cannot read {onnx_file.name}: {parse_failure(parser, onnx_file, errors)}")
    return network


def parse_failure(parser: Any, onnx_file: Path, errors: Sequence[str]) -> str:
    """What the parser stumbled over: the node's name and operator, and its words."""
    if not parser.num_errors:
        return first_sentence(errors)
    error = parser.get_error(0)
    # From TensorRT 10 on an error knows its node's name, before only its number.
    named = error.node_name() if hasattr(error, "node_name") else node_name(onnx_file, error.node())
    words = first_sentence([error.desc()])
    return f"node {named!r}: {words}" if named else words  # a damaged file has no node


def node_name(onnx_file: Path, number: int) -> str:
    """Name and operator of a node by its number in the file."""
    onnx = require("onnx", extra="tensorrt")
    nodes = onnx.load(str(onnx_file), load_external_data=False).graph.node
    return f"{nodes[number].name} ({nodes[number].op_type})" if 0 <= number < len(nodes) else f"number {number}"


def builder_config(
    trt: Any, builder: Any, network: Any, traits: Traits, *, precision: str, profiles: Sequence[Profile], workspace: int
) -> Any:
    """A builder configuration with the version's switches, the precision and the profiles."""
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace)
    if precision == "fp16" and not traits.typed:
        config.set_flag(trt.BuilderFlag.FP16)
    if precision == "fp32":
        config.clear_flag(trt.BuilderFlag.TF32)  # on by default, and no FP32: 10 bits of mantissa
    if traits.tactics:
        config.set_tactic_sources(sum(1 << int(getattr(trt.TacticSource, name)) for name in traits.tactics))
    fixed = all(profile.fixed for profile in profiles)
    for name, value in (traits.previews if fixed else {**traits.previews, **traits.ranged_previews}).items():
        config.set_preview_feature(getattr(trt.PreviewFeature, name), value)
    for profile in profiles:
        ranges = builder.create_optimization_profile()
        for index in range(network.num_inputs):
            ranges.set_shape(network.get_input(index).name, profile.least, profile.best, profile.most)
        if config.add_optimization_profile(ranges) < 0:
            raise UserError(f"{title(trt)} does not take the shape {profile} for this model")
    return config


def keep_layers(network: Any, config: Any, parts: Sequence[str]) -> None:
    """Hold the layers whose names contain one of `parts` to FP32. Raises UserError for a part that fits none."""
    if not parts:
        return
    trt = tensorrt_package()
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    if idle := [part for part in parts if not any(part in layer.name for layer in layers)]:
        raise UserError(f"no layer's name contains {idle[0]!r}; there are, for instance, {layers[0].name}")
    numbers = (trt.DataType.FLOAT, trt.DataType.HALF)
    for layer in layers:
        # A constant has no computation; shapes and indices stay the integers that they are.
        kept = any(part in layer.name for part in parts) and layer.type != trt.LayerType.CONSTANT
        if kept and all(layer.get_output(index).dtype in numbers for index in range(layer.num_outputs)):
            layer.precision = trt.DataType.FLOAT
            for index in range(layer.num_outputs):
                layer.set_output_type(index, trt.DataType.FLOAT)
    config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)


def cache_name(version: str, card: Gpu) -> str:
    """The timing cache's file: tactics measured by another version or on another GPU are worth nothing here."""
    return f"tensorrt-{version}-{re.sub(r'[^A-Za-z0-9]+', '-', card.name)}-{card.compute_capability}.cache"


def use_cache(config: Any, file: Path | None) -> None:
    """Begin with the tactics measured before."""
    if file is not None:
        known = file.read_bytes() if file.is_file() else b""
        config.set_timing_cache(config.create_timing_cache(known), ignore_mismatch=False)


def save_cache(config: Any, file: Path | None) -> None:
    """Keep the measured tactics for the next build."""
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, config.get_timing_cache().serialize())


def watch(trt: Any, config: Any, traits: Traits, on_progress: BuildProgress) -> None:
    """Have TensorRT tell how far it is, where it can."""
    if not traits.monitor:
        on_progress(f"Building the plan ({title(trt)} does not tell how far it is)", None)
        return

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Phases nest; the share is told of the outermost, whose name is shown."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if parent_phase is None:
                self.steps[phase_name] = num_steps
                on_progress(phase_name, 0.0)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name in self.steps:
                on_progress(phase_name, (step + 1) / max(self.steps[phase_name], 1))
            return True

        def phase_finish(self, phase_name: str) -> None:
            if self.steps.pop(phase_name, 0):  # its last step is not told
                on_progress(phase_name, 1.0)

    config.progress_monitor = Monitor()


def plan_bytes(trt: Any, builder: Any, network: Any, config: Any, errors: Sequence[str]) -> Any:
    """The plan's bytes. Raises UserError with what the builder said."""
    serialized = builder.build_serialized_network(network, config)
    if serialized is None:
        raise UserError(f"{title(trt)} could not build the plan: {first_sentence(errors)}")
    return serialized


def first_sentence(errors: Sequence[str]) -> str:
    """The first thing that went wrong, on one line of a readable length."""
    text = " ".join(errors[0].split()) if errors else "it does not say why"
    return text if len(text) <= 300 else f"{text[:297]}..."


def gibibytes(value: float) -> int:
    """GiB as bytes. Raises UserError for what is no size."""
    if not (math.isfinite(value) and value > 0):
        raise UserError(f"{value!r} GiB is no size of a workspace")
    return int(value * (1 << 30))
