"""Rules on dynamic batching, sequence batching and the response cache."""

from __future__ import annotations

from collections.abc import Iterator

from tritonclient.grpc.model_config_pb2 import DataType, ModelQueuePolicy, ModelSequenceBatching

from tbgen.generator.check.finding import Finding
from tbgen.generator.check.model import Model

DELAY = ModelQueuePolicy.DELAY
Control = ModelSequenceBatching.Control
CORRELATION_TYPES = ("TYPE_UINT64", "TYPE_INT64", "TYPE_UINT32", "TYPE_INT32", "TYPE_STRING")


def preferred_sizes(model: Model) -> Iterator[Finding]:
    """Preferred batch sizes are positive and within max_batch_size."""
    for word, where, sizes in (
        ("dynamic batching preferred size", "dynamic_batching", model.config.dynamic_batching.preferred_batch_size),
        (
            "sequence batching preferred batch size",
            "sequence_batching.oldest",
            model.config.sequence_batching.oldest.preferred_batch_size,
        ),
    ):
        for size in sizes:
            problem = "must be positive" if size <= 0 else "must be <= max batch size"
            if not 0 < size <= model.config.max_batch_size:
                yield model.refused(
                    f"{where}.preferred_batch_size",
                    f"{word} {problem} for {model.name}",
                    f"write sizes from 1 to max_batch_size ({model.config.max_batch_size}), or leave them out",
                )
                break


def priorities(model: Model) -> Iterator[Finding]:
    """Priority levels: the default and each queue's are among them."""
    batching = model.config.dynamic_batching
    levels = batching.priority_levels
    if not levels:
        return
    if not 1 <= batching.default_priority_level <= levels:
        yield model.refused(
            "dynamic_batching.default_priority_level",
            f"default priority level must be in range [1, {levels}] for {model.name}",
            f"write default_priority_level: a level from 1 to {levels}",
        )
    if any(not 1 <= level <= levels for level in batching.priority_queue_policy):
        yield model.refused(
            "dynamic_batching.priority_queue_policy",
            f"priority queue policy must have priority level in range [1, {levels}] for {model.name}",
            f"give policies to levels from 1 to {levels}",
        )


def order_can_be_kept(model: Model) -> Iterator[Finding]:
    """preserve_ordering allows one priority level, and no policy that delays a request."""
    batching = model.config.dynamic_batching
    if not batching.preserve_ordering:
        return
    if batching.priority_levels > 1:
        yield model.refused(
            "dynamic_batching.preserve_ordering",
            f"Only one priority level is allowed when 'preserve_ordering' is true for {model.name}",
            "remove preserve_ordering or priority_levels",
        )
    policies = (batching.default_queue_policy, *batching.priority_queue_policy.values())
    if any(policy.default_timeout_microseconds and policy.timeout_action == DELAY for policy in policies):
        yield model.refused(
            "dynamic_batching.preserve_ordering",
            f"Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true for {model.name}",
            "write timeout_action: REJECT, or remove preserve_ordering",
        )


def cache_is_possible(model: Model) -> Iterator[Finding]:
    """The response cache serves neither sequences nor decoupled models."""
    if not model.config.response_cache.enable:
        return
    for forbidden, words in (
        (model.config.HasField("sequence_batching"), "with sequence batching scheduler"),
        (model.config.model_transaction_policy.decoupled, "with 'decoupled' transaction policy"),
    ):
        if forbidden:
            yield model.refused(
                "response_cache",
                f"Response Cache does not currently support model {model.name} {words}. Please disable the response "
                "cache.",
                "remove response_cache",
            )
            return
    if not model.is_ensemble:
        yield model.advice(
            "response_cache",
            "keeps errors too (Triton 2.51): a request equal to one that failed is answered with no outputs",
            "set it on an ensemble of this model, which keeps answers alone",
        )


def sequence_controls(model: Model) -> Iterator[Finding]:
    """Each control of sequence batching: a name, one kind once, one pair of values of one type."""
    batcher = model.config.sequence_batching
    names = [control.name for control in batcher.control_input]
    seen: set[int] = set()
    for index, tensor in enumerate(batcher.control_input):
        where = f"sequence_batching.control_input[{index}]"
        problem = ""
        if not tensor.name:
            problem = "sequence batching control tensor must have a name"
        elif tensor.name in names[:index]:
            problem = f"sequence batching control tensor '{tensor.name}' is specified for multiple control kinds"
        for control in tensor.control:
            problem = problem or control_problem(control, control.kind in seen)
            seen.add(control.kind)
        if problem:
            yield model.refused(where, f"{problem} for {model.name}", "one named tensor for each kind of control")


def control_problem(control: ModelSequenceBatching.Control, again: bool) -> str:
    """What is wrong with one control, in Triton's words."""
    kind = Control.Kind.Name(control.kind)
    pairs = {name: len(getattr(control, name)) for name in ("int32_false_true", "fp32_false_true", "bool_false_true")}
    written = [name for name, count in pairs.items() if count]
    if again:
        return f"sequence batching specifies multiple {kind} tensors"
    if control.kind == Control.CONTROL_SEQUENCE_CORRID:
        if written:
            return (
                "sequence batching must not specify either 'int32_false_true', 'fp32_false_true' or 'bool_false_true' "
                f"for {kind}"
            )
        return "" if correlation_type(control) in CORRELATION_TYPES else f"unexpected data type for control {kind}"
    if not written:
        return (
            "sequence batching must specify either 'int32_false_true', 'fp32_false_true' or 'bool_false_true' "
            f"for {kind}"
        )
    if len(written) > 1:
        return (
            "sequence batching specifies more than one from 'int32_false_true', 'fp32_false_true' and "
            f"'bool_false_true' for {kind}"
        )
    if pairs[written[0]] != 2:
        return f"sequence batching control '{written[0]}' must have exactly 2 entries for {kind}"
    return ""


def correlation_type(control: ModelSequenceBatching.Control) -> str:
    """The data type of a correlation id."""
    return str(DataType.Name(control.data_type))


def batching_that_does_nothing(model: Model) -> Iterator[Finding]:
    """Settings of the dynamic batcher that have no effect, or a bad one."""
    config, batching = model.config, model.config.dynamic_batching
    if not config.HasField("dynamic_batching"):
        return
    if config.max_batch_size < 2 and (config.input or config.backend != "onnxruntime"):
        yield model.advice(
            "dynamic_batching",
            f"nothing: with max_batch_size {config.max_batch_size} no two requests are merged",
            "remove dynamic_batching, or write a max_batch_size above 1",
        )
        return
    if batching.preferred_batch_size and batching.max_queue_delay_microseconds and config.backend != "tensorrt":
        yield model.advice(
            "dynamic_batching.preferred_batch_size",
            "waits for these sizes although only TensorRT, with a profile for each, is faster at them",
            "remove preferred_batch_size; max_queue_delay_microseconds decides how long a batch is waited for",
        )
    unequal = (tensor for tensor in config.input if -1 in tensor.dims and not tensor.allow_ragged_batch)
    if config.backend == "onnxruntime" and any(unequal):
        yield model.advice(
            "dynamic_batching",
            "closes a batch at the first request of another shape, and its thread spins while lengths differ",
            "remove dynamic_batching where texts of unequal length arrive, or pad all to one length",
        )


RULES = (
    preferred_sizes,
    priorities,
    order_can_be_kept,
    cache_is_possible,
    sequence_controls,
    batching_that_does_nothing,
)
