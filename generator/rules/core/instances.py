"""Triton's core on instance groups: which device, which TensorRT profiles, how many copies."""

from __future__ import annotations

from collections.abc import Iterator

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tbgen.generator.rules.core.complete import PLAN_PLATFORM
from tbgen.generator.rules.onnxruntime import THREADS
from tbgen.generator.rules.problem import Problem, advise, leading_number

_KIND = ModelInstanceGroup.Kind
_TWO_CPU_INSTANCES = ("onnxruntime", "tensorflow")


def _groups_of(config: ModelConfig) -> Iterator[tuple[str, str, ModelInstanceGroup]]:
    """Each group: where, how Triton speaks of it, the group. An ensemble has none."""
    ensemble = config.HasField("ensemble_scheduling") or config.platform == "ensemble"
    for index, group in enumerate(() if ensemble else config.instance_group):
        yield f"instance_group[{index}]", f"instance group {group_name(config, index)} of model {config.name}", group


def _gpus_of_the_kind(config: ModelConfig) -> Iterator[Problem]:
    """Only a group of KIND_GPU names GPUs."""
    for where, begins, group in _groups_of(config):
        if group.gpus and group.kind in (_KIND.KIND_CPU, _KIND.KIND_MODEL):
            says = _with_gpus(begins, _KIND.Name(group.kind))
            yield Problem(f"{where}.gpus", says, "remove gpus, or write kind: KIND_GPU")
        elif group.gpus and group.kind == _KIND.KIND_AUTO:
            says = f"where a GPU of these is missing: {_with_gpus(begins, 'KIND_CPU')}"
            yield advise(f"{where}.gpus", says, "write kind: KIND_GPU, or remove gpus to use what there is")


def _with_gpus(begins: str, kind: str) -> str:
    """Triton's words for GPUs of a group that is on none."""
    return f"{begins} has kind {kind} but specifies one or more GPUs"


def _a_gpu_is_there(config: ModelConfig) -> Iterator[Problem]:
    """Instances on GPUs need a server that has some: said once a model, and not of plans, which run on nothing else."""
    on_gpus = [row for row in _groups_of(config) if row[2].kind == _KIND.KIND_GPU]
    for where, begins, group in on_gpus[:1] if config.platform != PLAN_PLATFORM else ():
        needed, why = "a GPU", "has kind KIND_GPU but no GPUs are available"
        if group.gpus:
            needed, why = f"GPU {group.gpus[0]}", f"specifies invalid or unsupported gpu id {group.gpus[0]}"
        mend = f"serve it where there is {needed}; KIND_AUTO takes the CPU where there is none, if the file runs there"
        yield advise(f"{where}.kind", f"on a server without {needed}: {begins} {why}", mend)


def _profiles(config: ModelConfig) -> Iterator[Problem]:
    """Profiles are numbers, of TensorRT plans only."""
    for where, group_begins, group in _groups_of(config):
        begins, place = f"{group_begins} and platform {config.platform}", f"{where}.profile"
        if group.profile and config.platform != PLAN_PLATFORM:
            says = f"{begins}specifies profile field which is only supported for TensorRT models"
            yield Problem(place, says, "remove profile")
            continue
        for profile in group.profile:
            number = leading_number(profile)
            if number is None:
                yield Problem(place, f"unable to parse '{profile}': stoi", 'write the number of a profile: "0"')
            elif number < 0:
                says = f"{begins} specifies invalid profile {profile}. The field should contain the string "
                yield Problem(place, f"{says}representation of a non-negative integer.", 'write "0" or more')


def _threads_of_the_copies(config: ModelConfig) -> Iterator[Problem]:
    """Without a group, or without a count, an engine on CPUs runs twice, and each copy takes all cores."""
    if config.backend not in _TWO_CPU_INSTANCES:
        return
    groups, threads = config.instance_group, THREADS in config.parameters
    if not groups or any(group.count < 1 and group.kind in (_KIND.KIND_AUTO, _KIND.KIND_CPU) for group in groups):
        cores = "" if threads else ", each with threads on all cores"
        says = f"on CPUs starts 2 instances: two copies of the weights{cores}"
        yield advise("instance_group", says, "write instance_group { count: 1 }")
    elif not threads and any(group.count > 1 and group.kind == _KIND.KIND_CPU for group in groups):
        mend = f'divide the cores: parameters {{ key: "{THREADS}" value {{ string_value: "1" }} }}'
        yield advise("instance_group", "gives each instance threads on all cores", mend)


def group_name(config: ModelConfig, index: int) -> str:
    """The name of a group, as Triton gives it where the config does not."""
    return config.instance_group[index].name or f"{config.name}_{index}"


RULES = (_gpus_of_the_kind, _a_gpu_is_there, _profiles, _threads_of_the_copies)
