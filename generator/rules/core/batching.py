"""Triton's core on dynamic batching, sequence batching and the response cache."""

from __future__ import annotations

from collections.abc import Iterator

from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig, ModelQueuePolicy, ModelSequenceBatching

from tbgen.generator.rules.problem import Problem, advise

_DELAY = ModelQueuePolicy.DELAY
_Control = ModelSequenceBatching.Control
_CORRELATION_TYPES = ("TYPE_UINT64", "TYPE_INT64", "TYPE_UINT32", "TYPE_INT32", "TYPE_STRING")
_PAIRS = ("int32_false_true", "fp32_false_true", "bool_false_true")


def _preferred_sizes(config: ModelConfig) -> Iterator[Problem]:
    """Preferred batch sizes are positive and within max_batch_size."""
    for word, where, batching in (
        ("dynamic batching preferred size", "dynamic_batching", config.dynamic_batching),
        ("sequence batching preferred batch size", "sequence_batching.oldest", config.sequence_batching.oldest),
    ):
        for size in [size for size in batching.preferred_batch_size if not 0 < size <= config.max_batch_size][:1]:
            problem = "must be positive" if size <= 0 else "must be <= max batch size"
            mend = f"write sizes from 1 to max_batch_size ({config.max_batch_size}), or leave them out"
            yield Problem(f"{where}.preferred_batch_size", f"{word} {problem} for {config.name}", mend)


def _direct_slots(config: ModelConfig) -> Iterator[Problem]:
    """The direct strategy waits for a share of its slots."""
    if not 0 <= config.sequence_batching.direct.minimum_slot_utilization <= 1:
        says = f"sequence batching minimum slot utilization must be in range (0.0, 1.0] for {config.name}"
        yield Problem("sequence_batching.direct.minimum_slot_utilization", says, "write a share from 0 to 1")


def _queues(config: ModelConfig) -> Iterator[Problem]:
    """The default level and each queue's are among the priority levels; kept order allows one, and no delay."""
    batching, ordered = config.dynamic_batching, config.dynamic_batching.preserve_ordering
    levels = batching.priority_levels
    policies = (batching.default_queue_policy, *batching.priority_queue_policy.values())
    for wrong, field, problem, mend in (
        (
            levels and not 1 <= batching.default_priority_level <= levels,
            "default_priority_level",
            f"default priority level must be in range [1, {levels}]",
            f"write default_priority_level: a level from 1 to {levels}",
        ),
        (
            levels and any(not 1 <= level <= levels for level in batching.priority_queue_policy),
            "priority_queue_policy",
            f"priority queue policy must have priority level in range [1, {levels}]",
            f"give policies to levels from 1 to {levels}",
        ),
        (
            ordered and levels > 1,
            "preserve_ordering",
            "Only one priority level is allowed when 'preserve_ordering' is true",
            "remove preserve_ordering or priority_levels",
        ),
        (
            ordered and any(each.default_timeout_microseconds and each.timeout_action == _DELAY for each in policies),
            "preserve_ordering",
            "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true",
            "write timeout_action: REJECT, or remove preserve_ordering",
        ),
    ):
        if wrong:
            yield Problem(f"dynamic_batching.{field}", f"{problem} for {config.name}", mend)


def _cache_is_possible(config: ModelConfig) -> Iterator[Problem]:
    """The response cache serves neither sequences nor decoupled models."""
    if not config.response_cache.enable:
        return
    decoupled = "with 'decoupled' transaction policy" if config.model_transaction_policy.decoupled else ""
    words = "with sequence batching scheduler" if config.HasField("sequence_batching") else decoupled
    if words:
        says = f"Response Cache does not currently support model {config.name} {words}. Please disable the response "
        yield Problem("response_cache", f"{says}cache.", "remove response_cache")
    elif not config.HasField("ensemble_scheduling"):
        says = "keeps errors too (Triton 2.51): a request equal to one that failed is answered with no outputs"
        yield advise("response_cache", says, "set it on an ensemble of this model, which keeps answers alone")


def _sequence_controls(config: ModelConfig) -> Iterator[Problem]:
    """Each control of sequence batching: a name, one kind once, one pair of values of one type."""
    names, kinds = list[str](), set[int]()
    for index, tensor in enumerate(config.sequence_batching.control_input):
        says = ""
        if not tensor.name:
            says = "sequence batching control tensor must have a name"
        elif tensor.name in names:
            says = f"sequence batching control tensor '{tensor.name}' is specified for multiple control kinds"
        for control in tensor.control:
            says = says or _control_problem(control, control.kind in kinds)
            kinds.add(control.kind)
        names.append(tensor.name)
        if says:
            where = f"sequence_batching.control_input[{index}]"
            yield Problem(where, f"{says} for {config.name}", "one named tensor for each kind of control")


def _control_problem(control: ModelSequenceBatching.Control, again: bool) -> str:
    """What is wrong with one control, in Triton's words."""
    kind, begins = _Control.Kind.Name(control.kind), "sequence batching"
    written = [name for name in _PAIRS if len(getattr(control, name))]
    if again:
        return f"{begins} specifies multiple {kind} tensors"
    if control.kind == _Control.CONTROL_SEQUENCE_CORRID:
        if written:
            return f"{begins} must not specify either {_pairs('or')} for {kind}"
        known = DataType.Name(control.data_type) in _CORRELATION_TYPES
        return "" if known else f"unexpected data type for control {kind}"
    if not written:
        return f"{begins} must specify either {_pairs('or')} for {kind}"
    if len(written) > 1:
        return f"{begins} specifies more than one from {_pairs('and')} for {kind}"
    if len(getattr(control, written[0])) != 2:
        return f"{begins} control '{written[0]}' must have exactly 2 entries for {kind}"
    return ""


def _pairs(word: str) -> str:
    """The names of the pairs of values in a sentence."""
    *first, last = map(repr, _PAIRS)
    return f"{', '.join(first)} {word} {last}"


def _batching_that_does_nothing(config: ModelConfig) -> Iterator[Problem]:
    """Settings of the dynamic batcher that have no effect, or a bad one."""
    batching, onnx = config.dynamic_batching, config.backend == "onnxruntime"
    if not config.HasField("dynamic_batching"):
        return
    if config.max_batch_size < 2 and (config.input or not onnx):
        says = f"nothing: with max_batch_size {config.max_batch_size} no two requests are merged"
        yield advise("dynamic_batching", says, "remove dynamic_batching, or write a max_batch_size above 1")
        return
    if batching.preferred_batch_size and batching.max_queue_delay_microseconds and config.backend != "tensorrt":
        says = "waits for these sizes although only TensorRT, with a profile for each, is faster at them"
        mend = "remove preferred_batch_size; max_queue_delay_microseconds decides how long a batch is waited for"
        yield advise("dynamic_batching.preferred_batch_size", says, mend)
    if onnx and any(-1 in tensor.dims and not tensor.allow_ragged_batch for tensor in config.input):
        says = "closes a batch at the first request of another shape, and its thread spins while lengths differ"
        mend = "remove dynamic_batching where texts of unequal length arrive, or pad all to one length"
        yield advise("dynamic_batching", says, mend)


RULES = (
    _preferred_sizes,
    _direct_slots,
    _queues,
    _cache_is_possible,
    _sequence_controls,
    _batching_that_does_nothing,
)
