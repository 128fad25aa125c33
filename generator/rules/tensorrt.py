"""What NVIDIA's tensorrt backend fills into a configuration, and what it refuses, in its own words.

Pure functions on plain values, no Triton and no TensorRT needed: `tbgen check` turns problems into findings, the
stand-in, beside which this folder is laid in the embedded server, refuses at the first one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ..data_types import FROM_NUMPY
from .problem import (
    Json,
    Problem,
    alike,
    full_shape,
    leading_number,
    missing_file,
    other_dims,
    shape_text,
    unknown_tensor,
)

if TYPE_CHECKING:
    from tbgen.backends.plan import Plan, Profile, TensorSpec

Profiles: TypeAlias = "Mapping[int, Profile]"

NOT_SERVED = ("batch_input", "batch_output", "sequence_batching", "allow_ragged_batch")  # by the stand-in


def plan_file(config: Json, folder: Path) -> Path:
    """`default_model_filename`, or model.plan. Raises ValueError."""
    file = folder / (config.get("default_model_filename") or "model.plan")
    if not file.is_file():
        raise ValueError(missing_file(config, file))
    return file


def profile_numbers(config: Json, instance: str) -> list[int]:
    """The profiles that an instance's group lists, the first one where it lists none."""
    groups = config.get("instance_group", [])
    group = next(
        (group for group in groups if instance.startswith(f"{group.get('name')}_")), groups[0] if groups else {}
    )
    return _numbers_of(group)


def _numbers_of(group: Json) -> list[int]:
    """The profiles of an instance group; Triton's default is the first. What is no number the core refuses."""
    numbers = map(leading_number, group.get("profile", []))
    return [number for number in numbers if number is not None and number >= 0] or [0]


def listed_profiles(config: Json, plan: Plan) -> Profiles:
    """The profiles of the plan that some instance group lists."""
    listed = {number for group in config.get("instance_group", []) for number in _numbers_of(group)} or {0}
    return {number: profile for number, profile in enumerate(plan.profiles) if number in listed}


def complete_config(config: Json, plan: Plan) -> None:
    """Fill in max_batch_size, the dynamic batcher, inputs and outputs, in place. Raises ValueError."""
    numbers = {number for group in config.get("instance_group", []) for number in _numbers_of(group)} or {0}
    for number in sorted(numbers):
        if number >= len(plan.profiles):
            raise ValueError(_no_such_profile(config, plan, number))
    most = max(plan.profiles[number].most[0] for number in numbers)
    if config["max_batch_size"] > most:
        raise ValueError(_too_many_rows(config, most))
    config["max_batch_size"] = config["max_batch_size"] or most
    if most > 1 and "sequence_batching" not in config:
        config.setdefault("dynamic_batching", {})
    for key, specs in (("input", plan.inputs), ("output", plan.outputs)):
        config[key] = config[key] or [
            {"name": name, "data_type": FROM_NUMPY[spec.dtype], "dims": _shape_of(spec)[1:]}
            for name, spec in specs.items()
        ]


def problems(config: Json, plan: Plan) -> Iterator[Problem]:
    """What is refused of a completed configuration, held against the plan."""
    if len(config["input"]) > len(plan.inputs):
        says = f"configuration expects {len(config['input'])} inputs, model provides at most {len(plan.inputs)}"
        mend = f"the plan takes {', '.join(plan.inputs)}"
        yield Problem("input", f"unable to load model '{config['name']}', {says}", mend)
    yield from _profile_problems(config, plan)
    for kind, specs in (("input", plan.inputs), ("output", plan.outputs)):
        yield from unknown_tensor(config, "plan", kind, specs)
        for index, tensor in enumerate(config[kind]):
            if tensor["name"] in specs:
                yield from _tensor_problems(config, f"{kind}[{index}]", tensor, specs[tensor["name"]])
        for name in sorted(specs.keys() - {tensor["name"] for tensor in config[kind]}):
            says = f"expected configuration for {kind} '{name}' for {config['name']}"
            yield Problem(kind, says, f'add {kind} {{ name: "{name}" }}')
    for index, tensor in enumerate(config["input"]):
        yield from _size_problems(config, f"input[{index}].dims", tensor, plan)


def no_gpu(config: Json, where: str) -> Problem:
    """An instance that is not on a GPU."""
    says = f"unable to load model '{config['name']}', TensorRT backend supports only GPU device"
    return Problem(where, says, "write kind: KIND_GPU")


def _profile_problems(config: Json, plan: Plan) -> Iterator[Problem]:
    """The listed profiles exist, and of each group one takes the whole max_batch_size."""
    for index, group in enumerate(config.get("instance_group") or [{}]):
        numbers = _numbers_of(group)
        for number in (number for number in numbers if number >= len(plan.profiles)):
            mend = f'write profiles from "0" to "{len(plan.profiles) - 1}"'
            yield Problem(f"instance_group[{index}].profile", _no_such_profile(config, plan, number), mend)
        most = max((plan.profiles[number].most[0] for number in numbers if number < len(plan.profiles)), default=0)
        if 0 < most < config["max_batch_size"]:
            yield Problem("max_batch_size", _too_many_rows(config, most), f"write max_batch_size: {most}")


def _no_such_profile(config: Json, plan: Plan, number: int) -> str:
    """The words for a profile that the plan does not have."""
    return (
        f"unable to autofill for '{config['name']}', configuration specified invalid profile {number} ."
        f" Number of profiles supported by TensorRT engine: {len(plan.profiles)}"
    )


def _too_many_rows(config: Json, most: int) -> str:
    """The words for more rows than the profiles take."""
    return (
        f"autofill failed for model '{config['name']}': configuration specified max-batch {config['max_batch_size']}"
        f" but TensorRT engine only supports max-batch {most}"
    )


def _tensor_problems(config: Json, where: str, tensor: Json, spec: TensorSpec) -> Iterator[Problem]:
    """A tensor has the plan's data type, as many dims, and its sizes where both sides say one."""
    kind, _, _ = where.partition("[")
    provided, shape, full = FROM_NUMPY[spec.dtype], _shape_of(spec), full_shape(config, tensor)
    if tensor["data_type"] != provided:
        says = f"unexpected datatype {provided} for inference {kind} '{tensor['name']}', expecting"
        says += f" {tensor['data_type']} for {config['name']}"
        yield Problem(f"{where}.data_type", says, f"write data_type: {provided}")
    if not tensor.get("allow_ragged_batch") and not alike(shape, full):
        mend = f"write dims: {shape_text(shape[config['max_batch_size'] > 0 :])}"
        yield Problem(f"{where}.dims", other_dims(config, tensor["name"], shape, full), mend)


def _size_problems(config: Json, where: str, tensor: Json, plan: Plan) -> Iterator[Problem]:
    """A size that the configuration fixes is one that every listed profile takes."""
    for profile in listed_profiles(config, plan).values():
        for axis, size in enumerate(full_shape(config, tensor)[:2]):
            if size != -1 and not profile.least[axis] <= size <= profile.most[axis]:
                begins = f"model configuration specified invalid shape for input '{tensor['name']}' for model"
                says = f"{begins} {config['name']}. {_out_of_range(profile, axis, size)}"
                yield Problem(where, says, "write -1, or a size that every listed profile takes")


def _out_of_range(profile: Profile, axis: int, size: int) -> str:
    """The words for a size that a profile does not take."""
    return (
        f"Error details: model expected the shape of dimension {axis} to be between {profile.least[axis]} and"
        f" {profile.most[axis]} but received {size}"
    )


def no_profile(name: str, profiles: Profiles, rows: int, tokens: int) -> str:
    """Why a request cannot be run: one profile says which of its sizes is wrong, several that none fits."""
    if len(profiles) > 1:
        listed = " ".join(f"{number}[{number}]" for number in profiles)
        return (
            f"failed to find any Optimization Profile among [ {listed}] to support the requested dimensions"
            f" (or shape values), proceeding with first profile. It takes {', '.join(map(str, profiles.values()))},"
            f" the request is {rows}x{tokens}"
        )
    profile = next(iter(profiles.values()))
    axis, size = (0, rows) if not profile.least[0] <= rows <= profile.most[0] else (1, tokens)
    return f"request specifies invalid shape for {name}. {_out_of_range(profile, axis, size)}"


def _shape_of(spec: TensorSpec) -> list[int]:
    """A tensor's shape, -1 for an open axis."""
    return [size if isinstance(size, int) else -1 for size in spec.shape]
