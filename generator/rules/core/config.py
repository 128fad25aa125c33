"""All that Triton's core holds against a config by itself, without the model's files or other models."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tbgen.generator.rules.core import batching, ensemble, instances, tensors
from tbgen.generator.rules.problem import Problem

RULES: tuple[Callable[[ModelConfig], Iterator[Problem]], ...] = (
    *tensors.RULES,
    *batching.RULES,
    *instances.RULES,
    *ensemble.RULES,
)


def problems(config: ModelConfig) -> Iterator[Problem]:
    """What is wrong with a config as the core completed it, in about the order in which it looks."""
    for rule in RULES:
        yield from rule(config)
