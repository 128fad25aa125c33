"""What Triton's core fills into a config before it judges it, and which versions of a model it loads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tbgen.generator.rules.problem import leading_number


@dataclass(frozen=True)
class Backend:
    """One backend that Triton's core knows by name: its platform in configs (some have none) and its file."""

    name: str
    platform: str
    file: str


PLAN_PLATFORM = "tensorrt_plan"
# In the order in which Triton tries them.
BACKENDS = (
    Backend("tensorflow", "tensorflow_savedmodel", "model.savedmodel"),
    Backend("tensorflow", "tensorflow_graphdef", "model.graphdef"),
    Backend("tensorrt", PLAN_PLATFORM, "model.plan"),
    Backend("onnxruntime", "onnxruntime_onnx", "model.onnx"),
    Backend("openvino", "", "model.xml"),
    Backend("pytorch", "pytorch_libtorch", "model.pt"),
    Backend("python", "", "model.py"),
)
FILE_BACKENDS = {row.name: row.file for row in BACKENDS}
NOT_VERSIONS = ("warmup", "initial_state", "configs")


def complete_backend(config: ModelConfig, folder: Path, folders: Sequence[str]) -> None:
    """Fill in name, backend, platform and file name, as far as one of them or the files of the first folder tell."""
    config.name = config.name or folder.name
    names = {entry.name for entry in (folder / folders[0]).iterdir()} if folders else set()
    for row in BACKENDS:
        if not config.backend and _is_of(config, row, names):
            config.backend = row.name
        if config.backend == row.name:
            config.platform = config.platform or row.platform
            config.default_model_filename = config.default_model_filename or row.file
            return
    if not (config.backend or config.platform or config.default_model_filename) and "." in folder.name:
        config.backend = folder.name.partition(".")[2]
        config.default_model_filename = f"model.{config.backend}"


def _is_of(config: ModelConfig, row: Backend, names: set[str]) -> bool:
    """Whether a config without a backend is of this one: by platform, file name, or the files that are there."""
    if (row.platform and config.platform == row.platform) or config.default_model_filename == row.file:
        return True
    return not config.platform and not config.default_model_filename and row.file in names


def version_of(name: str) -> int | None:
    """The version of a folder's name as Triton reads it: the number it begins with; None when it is no version."""
    if name in NOT_VERSIONS or (len(name) > 1 and name[0] == "0"):
        return None
    return leading_number(name, 64)


def versions_of(config: ModelConfig, folders: Iterable[str]) -> tuple[int, ...]:
    """The versions that Triton loads of a model's folders, by its version policy, ascending."""
    there = {version for name in folders if (version := version_of(name)) is not None}
    policy = config.version_policy
    if policy.HasField("specific"):
        return tuple(sorted(there & set(policy.specific.versions)))
    if policy.HasField("all"):
        return tuple(sorted(there))
    newest = policy.latest.num_versions if policy.HasField("latest") else 1
    return tuple(sorted(sorted(there, reverse=True)[:newest]))
