"""What Triton's core refuses of a request, a warm-up sample too: in its own words, nothing where it takes it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tbgen.generator.data_types import protocol_name
from tbgen.generator.rules.problem import shape_text


def missing_inputs(config: ModelConfig, given: Collection[str]) -> list[str]:
    """The inputs that a request must bring and does not."""
    return [tensor.name for tensor in config.input if not tensor.optional and tensor.name not in given]


def too_few_inputs(config: ModelConfig, given: Iterable[str], missing: Iterable[str]) -> str:
    """For a request without the inputs that are missing."""
    names, needed = list(given), sum(not tensor.optional for tensor in config.input)
    known = len(config.input)
    count = f"{known} inputs" if needed == known else f"number of inputs between {needed} and {known}"
    return (
        f"expected {count} but got {len(names)} inputs for model '{config.name}'. Got input(s) {name_list(names)}, but"
        f" missing required input(s) {name_list(missing)}. Please provide all required input(s)."
    )


def other_type(model: str, name: str, given: str, wanted: str) -> str:
    """For an input of another data type; both as a config says them."""
    return (
        f"inference input '{name}' data-type is '{protocol_name(given)}', but model '{model}' expects"
        f" '{protocol_name(wanted)}'"
    )


def other_shape(model: str, name: str, wanted: Sequence[int], given: Sequence[int]) -> str:
    """For an input of another shape; both with the batch axis."""
    begins = f"unexpected shape for input '{name}' for model '{model}'. Expected"
    return f"{begins} {shape_text(wanted)}, got {shape_text(given)}"


def too_many_rows(model: str, most: int) -> str:
    """For a request of more rows than max_batch_size."""
    return f"inference request batch-size must be <= {most} for '{model}'"


def no_text_file(file: Path) -> str:
    """For a file of labels or of warm-up data that is not there."""
    return f"failed to open text file for read {file}: No such file or directory"


def name_list(names: Iterable[str]) -> str:
    """Names as Triton lists them."""
    return f"[{','.join(map(repr, names))}]"
