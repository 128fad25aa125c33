"""A plan that is still to be built: the command that builds it in place, in the container of the server's release."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tbgen.export.errors import UserError
from tbgen.export.provenance import Build
from tbgen.export.tensorrt.profiles import LEAST_TOKENS, PROFILE_ROWS, Profile, default_profiles
from tbgen.export.tensorrt.versions import WORKSPACE, Traits, traits_of
from tbgen.generator.engines.engine import Builder, Engine

if TYPE_CHECKING:
    from tbgen.backends.plan import TensorSpec
    from tbgen.export.exported import Exported
    from tbgen.generator.releases import Release

_SCRIPT = Path(__file__).with_name("build.sh.txt")


def _onnx_options(engine: Engine, release: Release) -> dict[str, Any]:
    """Of the ONNX file: its opset, and its precision, the plan's where TensorRT takes its types from the file."""
    traits = traits_of(release.tensorrt)
    return {"precision": engine.precision if traits.typed else "fp32", "opset": traits.opset}


def _check_buildable(exported: Exported, engine: Engine, release: Release) -> None:
    """Raise UserError for an export that the release's TensorRT could not build the wanted plan from."""
    made, wanted = exported.made, _onnx_options(engine, release)["precision"]
    if why := made.why_not_plain:
        instead = "leave --build-script out" if made.tensorrt else "export it without --optimize"
        raise UserError(f"{exported.model.name} {why}; {instead}")
    if made.precision != wanted:
        raise UserError(
            f"{exported.model.name} is {made.precision}, and TensorRT {release.tensorrt} needs {wanted} for a "
            f"{engine.precision} plan: export it with --precision {wanted}"
        )
    if exported.fixed_length:
        raise UserError(f"{exported.model.name} has a fixed length; export it without --fixed-length")


def _export_to_build(exported: Exported, engine: Engine, release: Release) -> Exported:
    """The record of an ONNX export as that of the plan that will be built from it; its file stays the ONNX file.

    Raises UserError for one that it could not be built from.
    """
    _check_buildable(exported, engine, release)
    traits = traits_of(release.tensorrt)
    profiles = _profiles_to_build(exported, traits)
    build = Build(release.tensorrt, tuple(profiles), triton=release.name)
    made = replace(exported.made, precision=engine.precision, tensorrt=build)
    inputs = exported.inputs if traits.typed else {n: _as_int32(s) for n, s in exported.inputs.items()}
    return replace(exported, made=made, inputs=inputs)


def _profiles_to_build(exported: Exported, traits: Traits) -> list[Profile]:
    """A range for each length bucket; one in all before TensorRT 10, whose trtexec builds no more."""
    if traits.typed:
        return default_profiles(exported.max_length, ranges=True)
    most = (PROFILE_ROWS[1], exported.max_length)
    return [Profile((PROFILE_ROWS[0], LEAST_TOKENS), most, most)]


def _as_int32(spec: TensorSpec) -> TensorSpec:
    """A tensor as a plan of TensorRT 8 has it: it knows no INT64."""
    return replace(spec, dtype="int32") if spec.dtype == "int64" else spec


def _script_of(model: str, exported: Exported, engine: Engine) -> str:
    """The shell script that builds the plan of an engine model; empty for a plan that is there."""
    wanted = exported.made.tensorrt
    if wanted is None or not wanted.triton:
        return ""
    profiles = wanted.profiles
    options = [*_precision_options(traits_of(wanted.version), engine), f"--memPoolSize=workspace:{WORKSPACE >> 20}"]
    for number, profile in enumerate(profiles):
        options.append(
            " ".join([*([f"--profile={number}"] if len(profiles) > 1 else []), *_shape_options(exported, profile)])
        )
    script = _SCRIPT.read_text(encoding="utf-8")
    return script.format(model=model, release=wanted.triton, options=" \\\n  ".join(options))


def _precision_options(traits: Traits, engine: Engine) -> list[str]:
    """How trtexec is told the precision; TF32, its default for FP32, is none."""
    exact = [] if engine.precision == "fp16" else ["--noTF32"]
    return [*(["--stronglyTyped"] if traits.typed else []), *exact] or ["--fp16"]


def _shape_options(exported: Exported, profile: Profile) -> list[str]:
    """The range of one profile, as trtexec takes it."""
    shapes = {"min": profile.least, "opt": profile.best, "max": profile.most}
    return [
        shlex.quote(f"--{key}Shapes={','.join(f'{name}:{rows}x{tokens}' for name in exported.inputs)}")
        for key, (rows, tokens) in shapes.items()
    ]


BUILDER = Builder(
    advice="build one on the GPU that will serve it (tbgen export tensorrt --source {source} -o FOLDER), or have a "
    "script written that does, with --build-script and the Triton release",
    onnx=_onnx_options,
    planned=_export_to_build,
    script=_script_of,
)
