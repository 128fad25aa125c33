"""Rules on TensorRT plans. A plan opens on a GPU only, so its tensors and profiles are those of tbgen's record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tritonclient.grpc.model_config_pb2 import DataType, ModelInput, ModelInstanceGroup, ModelOutput

from tbgen.export.exported import TensorSpec, specs
from tbgen.export.tensorrt.profiles import Profile, profiles_of
from tbgen.generator.check.finding import Finding
from tbgen.generator.check.model import Model, Repository
from tbgen.generator.check.onnx_file import LFS_POINTER, NotOnnx, read_onnx
from tbgen.generator.check.tensors import config_dims, other_dims, shape_text
from tbgen.generator.data_types import FROM_NUMPY
from tbgen.generator.repository import RECORD

KIND = ModelInstanceGroup.Kind


def plan_files(model: Model) -> Iterator[Path]:
    """The plans of a TensorRT model that are there."""
    for version in model.versions if model.config.backend == "tensorrt" else ():
        file = model.version_folder(version) / model.config.default_model_filename
        if file.is_file():
            yield file


def on_gpus_only(model: Model) -> Iterator[Finding]:
    """Every instance of a plan is on a GPU."""
    for index, group in enumerate(model.config.instance_group):
        if model.config.backend == "tensorrt" and group.kind in (KIND.KIND_CPU, KIND.KIND_MODEL):
            says = f"unable to load model '{model.name}', TensorRT backend supports only GPU device"
            yield model.refused(f"instance_group[{index}].kind", says, "write kind: KIND_GPU")


def a_plan_at_all(model: Model) -> Iterator[Finding]:
    """The file is not something else under a plan's name."""
    for file in plan_files(model):
        if what := not_a_plan(file):
            says = f"unable to load plan file to auto complete config: {file}"
            yield model.refused(model.file(file), says, f"the file is {what}; build the plan, or fetch it")


def not_a_plan(file: Path) -> str:
    """What a file is that cannot be a plan; nothing when it may be one."""
    with file.open("rb") as stream:
        begins = stream.read(len(LFS_POINTER))
    if not begins or begins == LFS_POINTER:
        return "a Git LFS pointer: the plan itself was not fetched" if begins else "empty"
    try:
        read_onnx(file)
    except NotOnnx:
        return ""
    return "an ONNX model"


def record_of_plan(model: Model) -> dict[str, Any] | None:
    """tbgen's record of the plan, if it wrote the model and the plan is still the one it wrote."""
    file = model.folder / RECORD
    if not file.is_file():
        return None
    try:
        export = json.loads(file.read_text(encoding="utf-8"))["export"]
        sizes = {plan.stat().st_size for plan in plan_files(model)}
        return export if export["made"].get("tensorrt") and sizes == {export["size"]} else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def tensors_are_the_plans(model: Model) -> Iterator[Finding]:
    """Names, types and batch size as the plan was built with."""
    record = record_of_plan(model)
    if record is None:
        return
    for kind, tensors in (("input", model.config.input), ("output", model.config.output)):
        there = specs(record[f"{kind}s"])
        for index, tensor in enumerate(tensors):
            if tensor.name not in there:
                says = f"unexpected inference {kind} '{tensor.name}', allowed {kind}s are: {', '.join(sorted(there))}"
                yield model.refused(f"{kind}[{index}]", says, f"name it as the plan does: {', '.join(there)}")
                continue
            provided, wanted = FROM_NUMPY[there[tensor.name].dtype], DataType.Name(tensor.data_type)
            if provided != wanted:
                says = f"unexpected datatype {provided} for inference {kind} '{tensor.name}', expecting {wanted} for "
                yield model.refused(f"{kind}[{index}].data_type", f"{says}{model.name}", f"write data_type: {provided}")
            yield from dims_are_the_plans(model, f"{kind}[{index}].dims", tensor, there[tensor.name])
        for name in sorted(there.keys() - {tensor.name for tensor in tensors}) if tensors else ():
            says = f"expected configuration for {kind} '{name}' for {model.name}"
            yield model.refused(kind, says, f'add {kind} {{ name: "{name}" }}')


def dims_are_the_plans(
    model: Model, where: str, tensor: ModelInput | ModelOutput, there: TensorSpec
) -> Iterator[Finding]:
    """As many dims as the plan has, of its sizes where both sides say one."""
    shape = [size if isinstance(size, int) else -1 for size in there.shape]
    batching = model.config.max_batch_size > 0
    full = [-1] * batching + config_dims(tensor)
    if isinstance(tensor, ModelInput) and tensor.allow_ragged_batch:
        return
    if len(full) != len(shape) or any(-1 not in pair and pair[0] != pair[1] for pair in zip(shape, full, strict=True)):
        says = f"model '{model.name}', tensor '{tensor.name}': {other_dims(shape, full, batching)}"
        yield model.refused(where, says, f"write dims: {shape_text(shape[batching:])}")


def sizes_are_the_profiles(model: Model) -> Iterator[Finding]:
    """A size that the config fixes is one that every listed profile takes."""
    record = record_of_plan(model)
    profiles: list[Profile] = profiles_of(record["made"]) if record else []
    listed = {number for group in model.config.instance_group for number in numbers_of(group)} or {0}
    for index, tensor in enumerate(model.config.input):
        full = [-1] * (model.config.max_batch_size > 0) + config_dims(tensor)
        for number, profile in enumerate(profiles):
            for axis, size in enumerate(full[:2] if number in listed else ()):
                least, most = profile.least[axis], profile.most[axis]
                if size != -1 and not least <= size <= most:
                    says = (
                        f"model configuration specified invalid shape for input '{tensor.name}' for model {model.name}."
                        f" Error details: model expected the shape of dimension {axis} to be between {least} and {most}"
                        f" but received {size}"
                    )
                    mend = "write -1, or a size that every listed profile takes"
                    yield model.refused(f"input[{index}].dims", says, mend)


def numbers_of(group: ModelInstanceGroup) -> list[int]:
    """The profiles of an instance group; Triton's default is the first."""
    return [int(profile) for profile in group.profile if profile.isdigit()] or [0]


def longest_of(model: Model) -> int | None:
    """The most tokens that a profile of the plan takes; None when that is not known."""
    record = record_of_plan(model)
    return max((profile.most[1] for profile in profiles_of(record["made"])), default=None) if record else None


def profiles_are_the_plans(model: Model) -> Iterator[Finding]:
    """The listed profiles exist, and each takes the whole max_batch_size."""
    record = record_of_plan(model)
    profiles: list[Profile] = profiles_of(record["made"]) if record else []
    for index, group in enumerate(model.config.instance_group if profiles else ()):
        numbers = numbers_of(group)
        where = f"instance_group[{index}].profile"
        for number in numbers:
            if number >= len(profiles):
                says = f"unable to autofill for '{model.name}', configuration specified invalid profile {number} . "
                says += f"Number of profiles supported by TensorRT engine: {len(profiles)}"
                yield model.refused(where, says, f'write profiles from "0" to "{len(profiles) - 1}"')
        most = max((profiles[number].most[0] for number in numbers if number < len(profiles)), default=0)
        if 0 < most < model.config.max_batch_size:
            says = (
                f"autofill failed for model '{model.name}': configuration specified max-batch "
                f"{model.config.max_batch_size} but TensorRT engine only supports max-batch {most}"
            )
            yield model.refused("max_batch_size", says, f"write max_batch_size: {most}")
        if len(profiles) > 1 and not group.profile:
            listed = ", ".join(f'"{number}"' for number in range(len(profiles)))
            says = f"uses profile 0 of {len(profiles)} alone"
            yield model.advice(f"instance_group[{index}]", says, f"write profile: [ {listed} ]")


def of_the_releases_tensorrt(model: Model, repository: Repository) -> Iterator[Finding]:
    """The plan was built by the TensorRT that the release has."""
    record, release = record_of_plan(model), repository.release
    if record is None or release is None:
        return
    built, there = str(record["made"]["tensorrt"]["version"]), release.tensorrt
    if built.split(".")[: len(there.split("."))] != there.split("."):
        file = next(plan_files(model))
        says = f"the plan was built by TensorRT {built}, Triton {release.name} has {there}"
        yield model.refused(model.file(file), says, f"build it again with TensorRT {there}")


RULES = (on_gpus_only, a_plan_at_all, tensors_are_the_plans, sizes_are_the_profiles, profiles_are_the_plans)
REPOSITORY_RULES = (of_the_releases_tensorrt,)
