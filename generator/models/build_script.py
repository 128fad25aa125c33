"""A plan that is still to be built: the command that builds it in place, in the container of the server's release."""

from __future__ import annotations

from dataclasses import replace

from tbgen.export.errors import UserError
from tbgen.export.exported import Exported, TensorSpec
from tbgen.export.provenance import Build
from tbgen.export.tensorrt.builder import WORKSPACE
from tbgen.export.tensorrt.profiles import LEAST_TOKENS, ROWS, Profile, default_profiles
from tbgen.export.tensorrt.versions import Traits, traits_of
from tbgen.generator.engines import EngineKind
from tbgen.generator.releases import Release

BUILD = "build/build.sh"  # in the folder of an engine model
SCRIPT = """\
#!/bin/sh
# Builds {model}/1/model.plan for this machine's GPU, with the TensorRT of Triton {release}; the server must run both.
# Needs docker with NVIDIA's container toolkit. A plan runs on the GPU model that built it.
set -eu
cd "$(dirname "$0")/.."
docker run --rm --gpus all -v "$PWD:/model" nvcr.io/nvidia/tensorrt:{release}-py3 \\
  trtexec --onnx=/model/build/model.onnx --saveEngine=/model/build/model.plan --skipInference \\
  {options}
mv build/model.plan 1/model.plan
"""


def build_traits(release: Release) -> Traits:
    """What the TensorRT of a Triton release is like. Raises UserError."""
    return traits_of(release.tensorrt)


def onnx_precision(kind: EngineKind, release: Release) -> str:
    """The precision of the ONNX file: where TensorRT takes its types from the file, the plan's."""
    return kind.precision if build_traits(release).typed else "fp32"


def check_buildable(exported: Exported, kind: EngineKind, release: Release) -> None:
    """Raise UserError for an export that the release's TensorRT could not build the wanted plan from."""
    made, wanted = exported.made, onnx_precision(kind, release)
    if made.tensorrt:
        raise UserError(f"{exported.model.name} is a plan already; leave --build-script out")
    if made.optimized:
        raise UserError(f"{exported.model.name} is fused for ONNX Runtime alone; export it without --optimize")
    if made.precision != wanted:
        raise UserError(
            f"{exported.model.name} is {made.precision}, and TensorRT {release.tensorrt} needs {wanted} for a "
            f"{kind.precision} plan: export it with --precision {wanted}"
        )
    if exported.fixed_length:
        raise UserError(f"{exported.model.name} has a fixed length; export it without --fixed-length")


def export_to_build(exported: Exported, kind: EngineKind, release: Release) -> Exported:
    """The record of an ONNX export as that of the plan that will be built from it; its file stays the ONNX file."""
    profiles = profiles_to_build(exported, build_traits(release))
    build = Build(release.tensorrt, tuple(profiles), triton=release.name)
    made = replace(exported.made, precision=kind.precision, tensorrt=build)
    inputs = exported.inputs if build_traits(release).typed else {n: as_int32(s) for n, s in exported.inputs.items()}
    return replace(exported, made=made, inputs=inputs)


def profiles_to_build(exported: Exported, traits: Traits) -> list[Profile]:
    """A range for each length bucket; one in all before TensorRT 10, whose trtexec builds no more."""
    if traits.typed:
        return default_profiles(exported.max_length, ranges=True)
    most = (ROWS[1], exported.max_length)
    return [Profile((ROWS[0], LEAST_TOKENS), most, most)]


def as_int32(spec: TensorSpec) -> TensorSpec:
    """A tensor as a plan of TensorRT 8 has it: it knows no INT64."""
    return replace(spec, dtype="int32") if spec.dtype == "int64" else spec


def script_of(model: str, exported: Exported, kind: EngineKind) -> str:
    """The shell script that builds the plan of an engine model; empty for a plan that is there."""
    wanted = exported.made.tensorrt
    if wanted is None or not wanted.triton:
        return ""
    profiles = wanted.profiles
    options = [*precision_options(traits_of(wanted.version), kind), f"--memPoolSize=workspace:{WORKSPACE >> 20}"]
    for number, profile in enumerate(profiles):
        options.append(
            " ".join([*([f"--profile={number}"] if len(profiles) > 1 else []), *shape_options(exported, profile)])
        )
    return SCRIPT.format(model=model, release=wanted.triton, options=" \\\n  ".join(options))


def precision_options(traits: Traits, kind: EngineKind) -> list[str]:
    """How trtexec is told the precision; TF32, its default for FP32, is none."""
    exact = [] if kind.precision == "fp16" else ["--noTF32"]
    return [*(["--stronglyTyped"] if traits.typed else []), *exact] or ["--fp16"]


def shape_options(exported: Exported, profile: Profile) -> list[str]:
    """The range of one profile, as trtexec takes it."""
    shapes = {"min": profile.least, "opt": profile.best, "max": profile.most}
    return [
        f"--{key}Shapes={','.join(f'{name}:{rows}x{tokens}' for name in exported.inputs)}"
        for key, (rows, tokens) in shapes.items()
    ]
