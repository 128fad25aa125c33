"""Rules on TensorRT plans. A plan opens on a GPU only, so its tensors and profiles are those of tbgen's record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelInstanceGroup

from tbgen.generator.check.finding import Finding
from tbgen.generator.check.model import Model, Repository
from tbgen.generator.check.onnx_file import LFS_POINTER, NotOnnx, read_onnx
from tbgen.generator.rules import tensorrt

_NO_GPU = (ModelInstanceGroup.KIND_CPU, ModelInstanceGroup.KIND_MODEL)


def _as_the_backend_takes_it(model: Model) -> Iterator[Finding]:
    """Instances on GPUs; names, types, dims, sizes and profiles as the plan was built with."""
    for index, group in enumerate(model.config.instance_group if model.config.backend == "tensorrt" else ()):
        if group.kind in _NO_GPU:
            yield from model.found([tensorrt.no_gpu(model.values, f"instance_group[{index}].kind")])
    if model.plan:
        yield from model.found(tensorrt.problems(model.completed_values, model.plan))


def _a_plan_at_all(model: Model) -> Iterator[Finding]:
    """The file is not something else under a plan's name."""
    for file in model.engine_files("tensorrt").values():
        if what := _not_a_plan(file):
            says = f"unable to load plan file to auto complete config: {file}"
            yield model.refused(model.file(file), says, f"the file is {what}; build the plan, or fetch it")


def _not_a_plan(file: Path) -> str:
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


def _profiles_in_use(model: Model) -> Iterator[Finding]:
    """A group that lists no profile uses the first alone."""
    count = len(model.plan.profiles) if model.plan else 0
    for index, group in enumerate(model.config.instance_group if count > 1 else ()):
        if not group.profile:
            listed = ", ".join(f'"{number}"' for number in range(count))
            says = f"uses profile 0 of {count} alone"
            yield model.advice(f"instance_group[{index}]", says, f"write profile: [ {listed} ]")


def _of_the_releases_tensorrt(model: Model, repository: Repository) -> Iterator[Finding]:
    """The plan was built by the TensorRT that the release has."""
    release = repository.release
    if model.plan is None or release is None:
        return
    built, there = model.plan.version, release.tensorrt
    if built.split(".")[: len(there.split("."))] != there.split("."):
        file = next(iter(model.engine_files("tensorrt").values()))
        says = f"the plan was built by TensorRT {built}, Triton {release.name} has {there}"
        yield model.refused(model.file(file), says, f"build it again with TensorRT {there}")


RULES = (_as_the_backend_takes_it, _a_plan_at_all, _profiles_in_use)
REPOSITORY_RULES = (_of_the_releases_tensorrt,)
