"""What NVIDIA's tensorrt backend fills into a configuration, and what it refuses, in its own words.

Pure functions on plain values, no Triton and no TensorRT needed. A refusal is a ValueError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tbgen.export.exported import TensorSpec
from tbgen.export.tensorrt.plan import Plan
from tbgen.export.tensorrt.profiles import Profile

Json = dict[str, Any]
Profiles = Mapping[int, Profile]

DATA_TYPES = {
    "float32": "TYPE_FP32",
    "float16": "TYPE_FP16",
    "int8": "TYPE_INT8",
    "uint8": "TYPE_UINT8",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "bool": "TYPE_BOOL",
}
NOT_SERVED = ("batch_input", "batch_output", "sequence_batching")


def plan_file(config: Json, folder: Path) -> Path:
    """`default_model_filename`, or model.plan. Raises ValueError."""
    file = folder / Path(config.get("default_model_filename") or "model.plan").name
    if not file.is_file():
        raise ValueError(f"unable to find '{file}' for model instance '{config['name']}'")
    return file


def profile_numbers(config: Json, instance: str) -> list[int]:
    """The profiles that an instance's group lists, the first one where it lists none. Raises ValueError."""
    groups = config.get("instance_group", [])
    group = next(
        (group for group in groups if instance.startswith(f"{group.get('name')}_")), groups[0] if groups else {}
    )
    numbers = []
    for profile in group.get("profile", []) or ["0"]:
        if not profile.isdigit():
            raise ValueError(f"unable to parse '{profile}': stoi")
        numbers.append(int(profile))
    return numbers


def complete_config(config: Json, plan: Plan) -> None:
    """Fill in max_batch_size, the dynamic batcher, inputs and outputs, in place. Raises ValueError."""
    numbers = [
        number for group in config.get("instance_group", []) for number in profile_numbers(config, group["name"])
    ]
    check_numbers(config, plan, numbers)
    most = max(plan.profiles[number].most[0] for number in numbers or [0])
    if config["max_batch_size"] > most:
        raise ValueError(
            f"autofill failed for model '{config['name']}': configuration specified max-batch"
            f" {config['max_batch_size']} but TensorRT engine only supports max-batch {most}"
        )
    config["max_batch_size"] = config["max_batch_size"] or most
    if most > 1 and "sequence_batching" not in config:
        config.setdefault("dynamic_batching", {})
    for key, specs in (("input", plan.inputs), ("output", plan.outputs)):
        config[key] = config[key] or [
            {"name": name, "data_type": DATA_TYPES[spec.dtype], "dims": shape_of(spec)[1:]}
            for name, spec in specs.items()
        ]


def check_config(config: Json, plan: Plan, profiles: Profiles) -> None:
    """Compare a configuration with the plan as NVIDIA's backend does. Raises ValueError."""
    name = config["name"]
    unable = f"unable to load model '{name}',"
    if unknown := [key for key in NOT_SERVED if config.get(key)]:
        raise ValueError(f"{unable} the embedded server does not serve {unknown[0]}")
    if len(config["input"]) > len(plan.inputs):
        raise ValueError(
            f"{unable} configuration expects {len(config['input'])} inputs, model provides at most {len(plan.inputs)}"
        )
    check_batch(config, profiles)
    for kind, specs in (("input", plan.inputs), ("output", plan.outputs)):
        for tensor in config[kind]:
            check_tensor(config, kind, tensor, specs)
        configured = {tensor["name"] for tensor in config[kind]}
        if missing := [tensor for tensor in specs if tensor not in configured]:
            raise ValueError(f"expected configuration for {kind} '{missing[0]}' for {name}")
    for tensor in config["input"]:
        check_profiles(config, tensor, profiles)


def check_numbers(config: Json, plan: Plan, numbers: Sequence[int]) -> None:
    """Raise ValueError for a profile that the plan does not have."""
    if wrong := [number for number in numbers if not 0 <= number < len(plan.profiles)]:
        raise ValueError(
            f"unable to autofill for '{config['name']}', configuration specified invalid profile {wrong[0]} ."
            f" Number of profiles supported by TensorRT engine: {len(plan.profiles)}"
        )


def check_batch(config: Json, profiles: Profiles) -> None:
    """Raise ValueError when no profile takes as many rows as the configuration allows."""
    most = max(profile.most[0] for profile in profiles.values())
    if config["max_batch_size"] > most:
        raise ValueError(
            f"autofill failed for model '{config['name']}': configuration specified max-batch"
            f" {config['max_batch_size']} but TensorRT engine only supports max-batch {most}"
        )


def check_tensor(config: Json, kind: str, tensor: Json, specs: Mapping[str, TensorSpec]) -> None:
    """Compare name, type and shape of one configured tensor with the plan's."""
    name = tensor["name"]
    if name not in specs:
        raise ValueError(f"unexpected inference {kind} '{name}', allowed {kind}s are: {', '.join(sorted(specs))}")
    if tensor.get("allow_ragged_batch"):
        raise ValueError(f"unable to load model '{config['name']}', the embedded server does not serve ragged '{name}'")
    provided = DATA_TYPES[specs[name].dtype]
    if tensor["data_type"] != provided:
        raise ValueError(
            f"unexpected datatype {provided} for inference {kind} '{name}', expecting {tensor['data_type']} for"
            f" {config['name']}"
        )
    shape, dims, batching = shape_of(specs[name]), configured_dims(tensor), config["max_batch_size"] > 0
    full = [-1, *dims] if batching else dims
    if len(full) == len(shape) and all(-1 in pair or pair[0] == pair[1] for pair in zip(shape, full, strict=True)):
        return
    why = (
        " (an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, making complete"
    )
    specified = f"{why} shape {shape_text(full)})" if batching else f" (shape {shape_text(full)})"
    raise ValueError(
        f"model '{config['name']}', tensor '{name}': the model expects {len(shape)} dimensions (shape"
        f" {shape_text(shape)}) but the model configuration specifies {len(full)} dimensions{specified}"
    )


def check_profiles(config: Json, tensor: Json, profiles: Profiles) -> None:
    """Raise ValueError for a configured size that a listed profile does not take."""
    dims = configured_dims(tensor)
    sizes = dict(enumerate([-1, *dims] if config["max_batch_size"] > 0 else dims))
    for profile in profiles.values():
        for axis in (0, 1):
            size, least, most = sizes.get(axis, -1), profile.least[axis], profile.most[axis]
            if size != -1 and not least <= size <= most:
                raise ValueError(
                    f"model configuration specified invalid shape for input '{tensor['name']}' for model"
                    f" {config['name']}. Error details: model expected the shape of dimension {axis} to be between"
                    f" {least} and {most} but received {size}"
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
    return (
        f"request specifies invalid shape for {name}. Error details: model expected the shape of dimension {axis} to be"
        f" between {profile.least[axis]} and {profile.most[axis]} but received {size}"
    )


def shape_of(spec: TensorSpec) -> list[int]:
    """A tensor's shape, -1 for an open axis."""
    return [size if isinstance(size, int) else -1 for size in spec.shape]


def configured_dims(tensor: Json) -> list[int]:
    """The dims that the backend sees: those of `reshape` where there is one. The server's JSON has them as strings."""
    return [int(size) for size in tensor.get("reshape", {}).get("shape", tensor["dims"])]


def shape_text(shape: Sequence[int]) -> str:
    return f"[{','.join(map(str, shape))}]"
