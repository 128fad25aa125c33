"""What differs between TensorRT 8.5 and 11: one row a version, so that one builder serves them all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tbgen.export.errors import UserError

WORKSPACE = 4 << 30  # bytes that a tactic may use while it runs


@dataclass(frozen=True)
class Traits:
    """What the builder must know of a version of TensorRT.

    `opset`: the ONNX operator set to export for it.
    `network_flags`: members of NetworkDefinitionCreationFlag that a network is made with.
    `typed`: tensor types are those of the ONNX file, so that FP16 is a matter of the file and not of a builder flag.
    `tactics`: members of TacticSource to time, all where it is empty.
    `previews`: members of PreviewFeature to switch; `ranged_previews` those to switch for profiles with a range.
    `ranges`: whether a plan with ranged profiles is as fast as one with fixed shapes.
    `monitor`: whether it reports progress (IProgressMonitor).
    """

    opset: int
    network_flags: tuple[str, ...] = ()
    typed: bool = False
    tactics: tuple[str, ...] = ()
    previews: Mapping[str, bool] = field(default_factory=dict)
    ranged_previews: Mapping[str, bool] = field(default_factory=dict)
    ranges: bool = True
    monitor: bool = False


# 8.5, measured on 8.5.3.1: opset 17's LayerNormalization does not parse. Its core needs no cuDNN and no cuBLAS tactics;
# without the external sources, and with the preview that keeps its compiler off them, a plan runs on machines that have
# no cuDNN. A ranged profile does not finish building without FASTER_DYNAMIC_SHAPES_0805; with it the plan takes twice
# the time of a fixed one.
TRAITS = {
    "8.5": Traits(
        opset=15,
        network_flags=("EXPLICIT_BATCH",),
        tactics=("EDGE_MASK_CONVOLUTIONS", "JIT_CONVOLUTIONS"),
        previews={"DISABLE_EXTERNAL_TACTIC_SOURCES_FOR_CORE_0805": True},
        ranged_previews={"FASTER_DYNAMIC_SHAPES_0805": True},
        ranges=False,
    ),
    "8.6": Traits(opset=15, network_flags=("EXPLICIT_BATCH",)),
    "10": Traits(opset=17, network_flags=("STRONGLY_TYPED",), typed=True, monitor=True),
    "11": Traits(opset=17, typed=True, monitor=True),
}


def traits_of(version: str) -> Traits:
    """The row of a version such as '8.5.3.1' or '10.16.1'. Raises UserError for one that has no row."""
    for row, traits in TRAITS.items():
        if version == row or version.startswith(f"{row}."):
            return traits
    raise UserError(f"TensorRT {version} is not known to this tbgen; it builds plans with {', '.join(TRAITS)}")
