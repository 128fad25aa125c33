"""Rules on an ensemble's own config: what it may not have, and how its tensors flow from step to step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tbgen.generator.check.finding import Finding
from tbgen.generator.check.model import Model

STEP = "ensemble_scheduling.step"


@dataclass
class Flow:
    """The ensemble's tensors: who reads and who writes each, and which can be computed from the inputs."""

    sources: dict[str, set[str]] = field(default_factory=dict)  # tensor -> tensors that it is computed from
    users: dict[str, set[str]] = field(default_factory=dict)  # tensor -> tensors that are computed from it
    written_twice: list[tuple[int, str]] = field(default_factory=list)
    ready: set[str] = field(default_factory=set)


def wired_by_an_ensemble(model: Model) -> Iterator[Finding]:
    """Platform and scheduling go together; instances, optimization and warm-up belong to the steps."""
    config = model.config
    if model.is_ensemble and config.platform != "ensemble":
        says = f"ensemble scheduling cannot be set for model '{model.name}' whose platform is not ensemble"
        yield model.refused("ensemble_scheduling", says, 'write platform: "ensemble", or remove ensemble_scheduling')
        return
    if config.platform == "ensemble" and not model.is_ensemble:
        says = f"ensemble scheduling must be set for ensemble {model.name} whose platform is ensemble"
        yield model.refused("platform", says, "write ensemble_scheduling with a step for each model")
        return
    if not model.is_ensemble:
        return
    forbidden = (
        ("instance_group", "instance group should not be specified", len(config.instance_group) > 0),
        ("optimization", "optimization should not be specified", config.HasField("optimization")),
        ("model_warmup", "model_warmup can not be specified", len(config.model_warmup) > 0),
    )
    for where, words, written in forbidden:
        if written:
            says = f"{words} for ensemble '{model.name}'"
            yield model.refused(where, says, f"move {where} to the models of the steps")


def steps_are_whole(model: Model) -> Iterator[Finding]:
    """There are steps, each with a model, inputs and outputs."""
    if not model.is_ensemble:
        return
    steps = model.config.ensemble_scheduling.step
    if not steps:
        says = f"must specify 'step' for ensemble '{model.name}'"
        yield model.refused("ensemble_scheduling", says, "write a step for each model, in order")
    for index, step in enumerate(steps):
        for name, value in (
            ("model_name", step.model_name),
            ("input_map", step.input_map),
            ("output_map", step.output_map),
        ):
            if not value:
                says = f"must specify '{name}' in step {index} of ensemble '{model.name}'"
                yield model.refused(f"{STEP}[{index}]", says, f"write {name}")


def tensors_flow(model: Model) -> Iterator[Finding]:
    """Every input is used, every output is written, nothing in between is left over; one kind of these at a time.

    What comes later in the list follows, most often, from what comes first.
    """
    if not model.is_ensemble or any(steps_are_whole(model)):
        return
    flow = flow_of(model)
    for rule in (written_once, ends_are_mapped, outputs_are_written, nothing_is_left_over):
        if findings := list(rule(model, flow)):
            yield from findings
            return


def written_once(model: Model, flow: Flow) -> Iterator[Finding]:
    """No two steps write the same tensor."""
    for index, tensor in flow.written_twice:
        says = f"ensemble tensor '{tensor}' can appear in an output map only once for ensemble '{model.name}'"
        yield model.refused(
            f"{STEP}[{index}].output_map", f"{says} step {index}", "give each output its own tensor name"
        )


def ends_are_mapped(model: Model, flow: Flow) -> Iterator[Finding]:
    """The ensemble's inputs and outputs are mapped by some step."""
    for kind, tensors in (("input", model.config.input), ("output", model.config.output)):
        for index, tensor in enumerate(tensors):
            if tensor.name and tensor.name not in flow.sources:
                says = f"ensemble {kind} '{tensor.name}' for ensemble {model.name}' is not used"
                mend = f"no {kind}_map has the value {tensor.name!r}: map it, or remove the {kind}"
                yield model.refused(f"{kind}[{index}]", says, mend)


def outputs_are_written(model: Model, flow: Flow) -> Iterator[Finding]:
    """Each output can be computed from the ensemble's inputs."""
    for index, output in enumerate(model.config.output):
        if output.name not in flow.sources or output.name in flow.ready:
            continue
        cause = last_unready(flow, output.name)
        says = f"output '{output.name}' for ensemble '{model.name}' is not written"
        if cause != output.name:
            says += f": at least one of its depending tensors, '{cause}', is not connected"
        mend = f"let a step's output_map, or an input of the ensemble, give {cause!r}; steps must not wait in a circle"
        yield model.refused(f"output[{index}]", says, mend)


def nothing_is_left_over(model: Model, flow: Flow) -> Iterator[Finding]:
    """A tensor that is no output must be computed and used."""
    outputs = {output.name for output in model.config.output}
    for tensor in sorted(flow.sources.keys() - outputs):
        if tensor in flow.ready and flow.users[tensor]:
            continue
        where = next((path for path, value in mapped(model) if value == tensor), "ensemble_scheduling")
        says = f"ensemble tensor '{tensor}' is unused in ensemble '{model.name}'"
        mend = (
            f"remove {tensor!r} from output_map, or make it an output of the ensemble"
            if tensor in flow.ready
            else f"no step and no input of the ensemble gives {tensor!r}: map it, or remove it from input_map"
        )
        yield model.refused(where, says, mend)


def flow_of(model: Model) -> Flow:
    """Link the tensors step by step, then mark what can be computed from the inputs."""
    flow, written = Flow(), set[str]()
    for index, step in enumerate(model.config.ensemble_scheduling.step):
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
    waiting = [tensor.name for tensor in model.config.input if tensor.name in flow.sources]
    while waiting:
        tensor = waiting.pop()
        if tensor not in flow.ready:
            flow.ready.add(tensor)
            waiting += [user for user in flow.users[tensor] if flow.sources[user] <= flow.ready]
    return flow


def last_unready(flow: Flow, tensor: str) -> str:
    """The first tensor, looking back from one, that nothing computes; itself when it waits for nothing unready."""
    seen = set[str]()
    while unready := sorted(flow.sources[tensor] - flow.ready - seen):
        tensor = unready[0]
        seen.add(tensor)
    return tensor


def mapped(model: Model) -> Iterator[tuple[str, str]]:
    """Where each tensor is mapped: the path of the map's entry, the ensemble's name for the tensor."""
    for index, step in enumerate(model.config.ensemble_scheduling.step):
        for name in ("input_map", "output_map"):
            for key, value in sorted(getattr(step, name).items()):
                yield f'{STEP}[{index}].{name}["{key}"]', value


RULES = (wired_by_an_ensemble, steps_are_whole, tensors_flow)
