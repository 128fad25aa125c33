"""What a TensorRT plan asks of the models around it: its profiles as Triton's config and the BLS step take them."""

from __future__ import annotations

from collections.abc import Mapping

from tbgen.export.errors import UserError
from tbgen.export.exported import Exported
from tbgen.export.tensorrt.profiles import LEAST_TOKENS, buckets_of
from tbgen.generator.engines import EngineKind

ONNX_ENGINES = {"fp32": "onnx", "fp16": "onnx_fp16", "int8": "onnx_int8"}  # by the precision of the file
CACHE = "/tmp/tensorrt_engine_cache"  # of ONNX Runtime's accelerator, inside the server's container


def check_kind(exported: Exported, engine: str, kind: EngineKind) -> None:
    """Raise UserError when the export's file is not what the engine runs."""
    has_plan = exported.made.tensorrt is not None
    if exported.packed and (kind.plan or kind.accelerator):
        raise UserError(
            f"{exported.model.name} has the packed layout, which TensorRT does not read; export it with --layout padded"
        )
    if kind.plan and not has_plan:
        command = f"tbgen export tensorrt --source {str(exported.folder)!r} -o FOLDER"
        raise UserError(
            f"engine {engine} runs a TensorRT plan, {exported.model.name} is none; build one on the GPU that will "
            f"serve it ({command}), then name FOLDER with --source"
        )
    if has_plan and not kind.plan:
        raise UserError(
            f"{exported.model.name} is a TensorRT plan, engine {engine} runs an ONNX file; use --engine trt_fp16"
        )
    precision = exported.made.precision
    if has_plan and precision != kind.precision:
        raise UserError(f"the plan is {precision}: use --engine trt_{precision}")
    if kind.accelerator and (exported.made.optimized or precision != kind.precision):
        raise UserError(
            f"engine {engine} builds its own plan of a plain {kind.precision} file, and {exported.model.name} is "
            f"{'fused for ONNX Runtime alone' if exported.made.optimized else precision}; export it anew"
        )
    if precision != kind.precision:
        raise UserError(f"{exported.model.name} is {precision}: use --engine {ONNX_ENGINES[precision]}")


def most_rows(exported: Exported, default: int) -> int:
    """Most rows that the engine takes at once."""
    return max((profile.most[0] for profile in exported.made.profiles), default=default)


def plan_buckets(exported: Exported) -> list[int]:
    """The lengths that a plan's profiles share with the tokenizer; none for an ONNX file."""
    return buckets_of(exported.made.profiles)


def profile_names(exported: Exported) -> tuple[str, ...]:
    """All profiles, as an instance group lists them: Triton uses the first alone where none is listed."""
    return tuple(str(number) for number in range(len(exported.made.profiles)))


def engine_shapes(exported: Exported) -> list[list[int]]:
    """The shapes that the BLS call may have: least and most rows, least and most tokens."""
    return [
        [profile.least[0], profile.most[0], profile.least[1], profile.most[1]] for profile in exported.made.profiles
    ]


def only_length(exported: Exported) -> int | None:
    """The one length that all texts have, if the engine takes any number of rows of it, or else None."""
    if not (shapes := engine_shapes(exported)):
        return exported.fixed_length
    lengths, most = plan_buckets(exported), most_rows(exported, 1)
    any_rows = most > 1 and [1, most] in [shape[:2] for shape in shapes]
    return lengths[0] if len(lengths) == 1 and any_rows else None


def uneven_shapes(exported: Exported) -> list[list[int]]:
    """The shapes of a plan, when not every length goes with every number of rows; else none."""
    shapes = engine_shapes(exported)
    return shapes if len({(least, most) for least, most, _, _ in shapes}) > 1 else []


def accelerator_of(kind: EngineKind, name: str, exported: Exported, rows: int) -> Mapping[str, str]:
    """The parameters of ONNX Runtime's TensorRT accelerator: one range of shapes, so that no shape builds again."""
    if not kind.accelerator:
        return {}
    ranges = {"min": (1, LEAST_TOKENS), "opt": (rows, 64), "max": (rows, exported.max_length)}
    shapes = {
        f"trt_profile_{key}_shapes": ",".join(f"{tensor}:{shape[0]}x{shape[1]}" for tensor in exported.inputs)
        for key, shape in ranges.items()
    }
    return {**kind.accelerator, "trt_engine_cache_path": f"{CACHE}/{name}", **shapes}
