"""Rules on instance groups: which device, which TensorRT profiles, how many copies."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tritonclient.grpc.model_config_pb2 import ModelInstanceGroup

from tbgen.generator.check.finding import Finding
from tbgen.generator.check.model import Model

KIND = ModelInstanceGroup.Kind
TWO_CPU_INSTANCES = ("onnxruntime", "tensorflow")


def not_for_ensembles(model: Model) -> bool:
    """Whether the model has instances at all; an ensemble has none."""
    return model.is_ensemble or model.config.platform == "ensemble"


def gpus_of_the_kind(model: Model) -> Iterator[Finding]:
    """Only a group of KIND_GPU names GPUs."""
    for index, group in enumerate(model.config.instance_group):
        if not group.gpus or not_for_ensembles(model):
            continue
        if group.kind in (KIND.KIND_CPU, KIND.KIND_MODEL):
            yield model.refused(
                f"instance_group[{index}].gpus",
                f"instance group {group_name(model, index)} of model {model.name} has kind {KIND.Name(group.kind)} "
                "but specifies one or more GPUs",
                "remove gpus, or write kind: KIND_GPU",
            )
        elif group.kind == KIND.KIND_AUTO:
            yield model.advice(
                f"instance_group[{index}].gpus",
                f"where a GPU of these is missing: instance group {group_name(model, index)} of model {model.name} "
                "has kind KIND_CPU but specifies one or more GPUs",
                "write kind: KIND_GPU, or remove gpus to use what there is",
            )


def a_gpu_is_there(model: Model) -> Iterator[Finding]:
    """Instances on GPUs need a server that has some: said once a model, and not of plans, which run on nothing else."""
    config = model.config
    on_gpus = [index for index, group in enumerate(config.instance_group) if group.kind == KIND.KIND_GPU]
    if not on_gpus or not_for_ensembles(model) or config.platform == "tensorrt_plan":
        return
    group, begins = (
        config.instance_group[on_gpus[0]],
        f"instance group {group_name(model, on_gpus[0])} of model {model.name}",
    )
    needed, why = "a GPU", f"{begins} has kind KIND_GPU but no GPUs are available"
    if group.gpus:
        needed, why = f"GPU {group.gpus[0]}", f"{begins} specifies invalid or unsupported gpu id {group.gpus[0]}"
    mend = f"serve it where there is {needed}, or write kind: KIND_AUTO, which takes the CPU where there is none"
    yield model.advice(f"instance_group[{on_gpus[0]}].kind", f"on a server without {needed}: {why}", mend)


def profiles(model: Model) -> Iterator[Finding]:
    """Profiles are numbers, of TensorRT plans only."""
    config = model.config
    for index, group in enumerate(config.instance_group):
        if not group.profile or not_for_ensembles(model):
            continue
        where, name = f"instance_group[{index}].profile", group_name(model, index)
        begins = f"instance group {name} of model {model.name} and platform {config.platform}"
        if config.platform != "tensorrt_plan":
            says = f"{begins}specifies profile field which is only supported for TensorRT models"
            yield model.refused(where, says, "remove profile")
            continue
        for profile in group.profile:
            if not re.match(r"\s*[+-]?\d", profile):
                yield model.refused(where, f"unable to parse '{profile}': stoi", 'write the number of a profile: "0"')
            elif int(re.match(r"\s*[+-]?\d+", profile)[0]) < 0:  # type: ignore[index]
                says = f"{begins} specifies invalid profile {profile}. The field should contain the string "
                yield model.refused(where, f"{says}representation of a non-negative integer.", 'write "0" or more')


def threads_of_the_copies(model: Model) -> Iterator[Finding]:
    """Without a group, or without a count, an engine on CPUs runs twice, and each copy takes all cores."""
    config = model.config
    if config.backend not in TWO_CPU_INSTANCES:
        return
    unsaid = not config.instance_group or any(
        group.count < 1 and group.kind in (KIND.KIND_AUTO, KIND.KIND_CPU) for group in config.instance_group
    )
    if unsaid:
        yield model.advice(
            "instance_group",
            "on CPUs starts 2 instances: two copies of the weights"
            + ("" if "intra_op_thread_count" in config.parameters else ", each with threads on all cores"),
            "write instance_group { count: 1 }",
        )
    elif "intra_op_thread_count" not in config.parameters and any(
        group.count > 1 and group.kind == KIND.KIND_CPU for group in config.instance_group
    ):
        yield model.advice(
            "instance_group",
            "gives each instance threads on all cores",
            'divide the cores: parameters { key: "intra_op_thread_count" value { string_value: "1" } }',
        )


def group_name(model: Model, index: int) -> str:
    """The name of a group, as Triton gives it where the config does not."""
    return model.config.instance_group[index].name or f"{model.name}_{index}"


RULES = (gpus_of_the_kind, a_gpu_is_there, profiles, threads_of_the_copies)
