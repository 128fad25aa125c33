"""Triton's core on an ensemble's own config: what it may not have, and how its tensors flow from step to step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tbgen.generator.rules.problem import Problem

_PLATFORM = "ensemble"  # which has no backend
STEP = "ensemble_scheduling.step"


@dataclass
class Flow:
    """The ensemble's tensors: who reads and who writes each, and which can be computed from the inputs."""

    sources: dict[str, set[str]] = field(default_factory=dict)  # tensor -> tensors that it is computed from
    users: dict[str, set[str]] = field(default_factory=dict)  # tensor -> tensors that are computed from it
    written_twice: list[tuple[int, str]] = field(default_factory=list)
    ready: set[str] = field(default_factory=set)


def _wired_by_an_ensemble(config: ModelConfig) -> Iterator[Problem]:
    """Platform and scheduling go together; instances, optimization and warm-up belong to the steps."""
    wired = config.HasField("ensemble_scheduling")
    if wired and config.platform != _PLATFORM:
        says = f"ensemble scheduling cannot be set for model '{config.name}' whose platform is not ensemble"
        yield Problem("ensemble_scheduling", says, 'write platform: "ensemble", or remove ensemble_scheduling')
    elif config.platform == _PLATFORM and not wired:
        says = f"ensemble scheduling must be set for ensemble {config.name} whose platform is ensemble"
        yield Problem("platform", says, "write ensemble_scheduling with a step for each model")
    elif wired:
        for where, written, words in (
            ("instance_group", len(config.instance_group), "instance group should not be specified"),
            ("optimization", config.HasField("optimization"), "optimization should not be specified"),
            ("model_warmup", len(config.model_warmup), "model_warmup can not be specified"),
        ):
            if written:
                yield Problem(
                    where, f"{words} for ensemble '{config.name}'", f"move {where} to the models of the steps"
                )


def _steps_are_whole(config: ModelConfig) -> Iterator[Problem]:
    """There are steps, each with a model, inputs and outputs."""
    steps = config.ensemble_scheduling.step
    if config.HasField("ensemble_scheduling") and not steps:
        says = f"must specify 'step' for ensemble '{config.name}'"
        yield Problem("ensemble_scheduling", says, "write a step for each model, in order")
    for index, step in enumerate(steps):
        for name in ("model_name", "input_map", "output_map"):
            if not getattr(step, name):
                says = f"must specify '{name}' in step {index} of ensemble '{config.name}'"
                yield Problem(f"{STEP}[{index}]", says, f"write {name}")


def _tensors_flow(config: ModelConfig) -> Iterator[Problem]:
    """Every input is used, every output is written, nothing in between is left over; one kind of these at a time.

    What comes later in the list follows, most often, from what comes first.
    """
    if not config.HasField("ensemble_scheduling") or any(_steps_are_whole(config)):
        return
    flow = _flow_of(config)
    for rule in (_written_once, _ends_are_mapped, _outputs_are_written, _nothing_is_left_over):
        if findings := list(rule(config, flow)):
            yield from findings
            return


def _written_once(config: ModelConfig, flow: Flow) -> Iterator[Problem]:
    """No two steps write the same tensor."""
    for index, tensor in flow.written_twice:
        says = f"ensemble tensor '{tensor}' can appear in an output map only once for ensemble '{config.name}'"
        yield Problem(f"{STEP}[{index}].output_map", f"{says} step {index}", "give each output its own tensor name")


def _ends_are_mapped(config: ModelConfig, flow: Flow) -> Iterator[Problem]:
    """The ensemble's inputs and outputs are mapped by some step."""
    for kind, tensors in (("input", config.input), ("output", config.output)):
        for index, tensor in enumerate(tensors):
            if tensor.name and tensor.name not in flow.sources:
                says = f"ensemble {kind} '{tensor.name}' for ensemble {config.name}' is not used"
                mend = f"no {kind}_map has the value {tensor.name!r}: map it, or remove the {kind}"
                yield Problem(f"{kind}[{index}]", says, mend)


def _outputs_are_written(config: ModelConfig, flow: Flow) -> Iterator[Problem]:
    """Each output can be computed from the ensemble's inputs."""
    for index, output in enumerate(config.output):
        if output.name not in flow.sources or output.name in flow.ready:
            continue
        cause = _last_unready(flow, output.name)
        says = f"output '{output.name}' for ensemble '{config.name}' is not written"
        if cause != output.name:
            says += f": at least one of its depending tensors, '{cause}', is not connected"
        mend = f"let a step's output_map, or an input of the ensemble, give {cause!r}; steps must not wait in a circle"
        yield Problem(f"output[{index}]", says, mend)


def _nothing_is_left_over(config: ModelConfig, flow: Flow) -> Iterator[Problem]:
    """A tensor that is no output must be computed and used."""
    outputs = {output.name for output in config.output}
    for tensor in sorted(flow.sources.keys() - outputs):
        if tensor in flow.ready and flow.users[tensor]:
            continue
        where = next((path for path, value in _mapped(config) if value == tensor), "ensemble_scheduling")
        says = f"ensemble tensor '{tensor}' is unused in ensemble '{config.name}'"
        mend = (
            f"remove {tensor!r} from output_map, or make it an output of the ensemble"
            if tensor in flow.ready
            else f"no step and no input of the ensemble gives {tensor!r}: map it, or remove it from input_map"
        )
        yield Problem(where, says, mend)


def _flow_of(config: ModelConfig) -> Flow:
    """Link the tensors step by step, then mark what can be computed from the inputs."""
    flow, written = Flow(), set[str]()
    for index, step in enumerate(config.ensemble_scheduling.step):
        for tensor in (*step.input_map.values(), *step.output_map.values()):
            flow.sources.setdefault(tensor, set())
            flow.users.setdefault(tensor, set())
        for tensor in step.output_map.values():
            if tensor in written:
                flow.written_twice.append((index, tensor))
            written.add(tensor)
            flow.sources[tensor] |= set(step.input_map.values())
        for tensor in step.input_map.values():
            flow.users[tensor] |= set(step.output_map.values())
    waiting = [tensor.name for tensor in config.input if tensor.name in flow.sources]
    while waiting:
        tensor = waiting.pop()
        if tensor not in flow.ready:
            flow.ready.add(tensor)
            waiting += [user for user in flow.users[tensor] if flow.sources[user] <= flow.ready]
    return flow


def _last_unready(flow: Flow, tensor: str) -> str:
    """The first tensor, looking back from one, that nothing computes; itself when it waits for nothing unready."""
    seen = set[str]()
    while unready := sorted(flow.sources[tensor] - flow.ready - seen):
        tensor = unready[0]
        seen.add(tensor)
    return tensor


def _mapped(config: ModelConfig) -> Iterator[tuple[str, str]]:
    """Where each tensor is mapped: the path of the map's entry, the ensemble's name for the tensor."""
    for index, step in enumerate(config.ensemble_scheduling.step):
        for name in ("input_map", "output_map"):
            for key, value in sorted(getattr(step, name).items()):
                yield f'{STEP}[{index}].{name}["{key}"]', value


RULES = (_wired_by_an_ensemble, _steps_are_whole, _tensors_flow)
