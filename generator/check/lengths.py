"""Rules on what tokenizers, heads and engines must agree on: lengths, positions, batch sizes, labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tbgen.generator.calls import callee_of
from tbgen.generator.check.finding import Finding
from tbgen.generator.check.model import Model, Repository
from tbgen.generator.check.onnx_file import Node, OnnxFile
from tbgen.generator.check.onnx_graph import onnx_graphs
from tbgen.generator.check.python_source import PythonSource, settings_to_check
from tbgen.generator.check.steps import place_of, steps_of
from tbgen.generator.rules.core.requests import too_many_rows
from tbgen.generator.rules.onnxruntime import out_of_bounds
from tbgen.generator.steps.load import STEPS_FILE

_POSITION_TABLES = ("position_embeddings.weight", "embed_positions.weight", "wpe.weight", "position_embeddings")
_OFFSET_FAMILIES = ("roberta", "camembert", "mpnet", "bart")  # their tables begin with rows that hold no token
_OFFSET = 2  # as many, where the graph does not say it
_THROUGH = ("Cast", "Gather", "Identity", "Reshape", "Squeeze", "Unsqueeze")  # what only moves numbers, input 0


def engine_positions(model: Model) -> int | None:
    """How many tokens an ONNX engine can place; None when its file has no table of positions."""
    for _, graph in onnx_graphs(model):
        for name, shape in graph.initializers.items():
            if name.endswith(_POSITION_TABLES) and len(shape) == 2:
                counted = _first_position(graph, name)
                usual = _OFFSET if any(family in name for family in _OFFSET_FAMILIES) else 0
                return shape[0] - (usual if counted is None else counted)
    return None


def _first_position(graph: OnnxFile, table: str) -> int | None:
    """The row of a position table that belongs to a text's first token; None where the graph does not count tokens."""
    makers = {name: Node("Constant", [], [name], number=number) for name, number in graph.numbers.items()}
    for node in graph.nodes:
        if table in node.inputs:
            return _counted_from(node.inputs[-1], makers) if node.operator == "Gather" else None
        makers |= dict.fromkeys(node.outputs, node)
    return None


def _counted_from(name: str, makers: Mapping[str, Node]) -> int | None:
    """The first of the positions in a tensor that is `count x counted + uncounted`, as transformers makes them."""
    node = _maker(name, makers)
    if node.operator == "Mul":
        return 1  # nothing is added for uncounted tokens of id 0
    numbers = [makers[each].number for each in node.inputs if each in makers and makers[each].number is not None]
    counts = [each for each in node.inputs if _maker(each, makers).operator == "Mul"]
    return numbers[0] + 1 if node.operator == "Add" and counts and numbers[0] is not None else None


def _maker(name: str, makers: Mapping[str, Node]) -> Node:
    """The node that computes a tensor's numbers; one without an operator for a graph's input or weight."""
    node = makers.get(name, Node())
    for _ in makers:  # so many at most, for a broken file's nodes may lead in a circle
        if node.operator not in _THROUGH or not node.inputs:
            break
        node = makers.get(node.inputs[0], Node())
    return node


def _longest_of_plan(model: Model) -> int | None:
    """The most tokens that a profile of the plan takes; None when that is not known."""
    return max((profile.most[1] for profile in model.plan.profiles), default=None) if model.plan else None


def _dims_within_positions(model: Model) -> Iterator[Finding]:
    """A fixed length in the engine's config is within its positions."""
    positions = engine_positions(model)
    for index, tensor in enumerate(model.config.input if positions else ()):
        longest = max(tensor.dims, default=0)
        if positions and tensor.name == "input_ids" and longest > positions:
            mend = f"write dims of at most {positions}: the graph places that many tokens"
            yield model.fails(f"input[{index}].dims", out_of_bounds(6, positions, positions), mend)


def _texts_within_positions(model: Model, repository: Repository) -> Iterator[Finding]:
    """A tokenizer's lengths are within the positions, or the plan's profiles, of every engine that reads its tokens."""
    for source, _, settings in steps_of(model):
        longest = _longest_length(settings)
        for engine in _engines_behind(model, source, repository) if longest else ():
            positions = engine_positions(engine) or _longest_of_plan(engine)
            if positions and longest > positions:
                says = f"{engine.name} fails on texts of more than {positions} tokens, and this lets in {longest}"
                mend = f"let max_length, and the last of the buckets, be {positions} or less"
                yield model.fails(place_of(model, source, str(longest)), says, mend)


def _longest_length(settings: dict[str, Any]) -> int:
    """The most tokens of a text that a step's settings let in, 0 when they say nothing of it."""
    lengths = [settings.get("max_length"), *(settings.get("buckets") or [])]
    return max((length for length in lengths if isinstance(length, int)), default=0)


def _engines_behind(model: Model, source: PythonSource, repository: Repository) -> list[Model]:
    """The engines that get a Python model's tokens: those it calls, those behind it in an ensemble."""
    names = {settings["model"] for settings in map(settings_to_check, source.steps or ()) if "model" in settings}
    for ensemble in repository.callers(model.name):
        steps = ensemble.config.ensemble_scheduling.step
        given = {tensor for step in steps if step.model_name == model.name for tensor in step.output_map.values()}
        names |= {step.model_name for step in steps if given & set(step.input_map.values())}
    return [repository.models[name] for name in sorted(names) if name in repository.models]


def _engine_is_there(model: Model, repository: Repository) -> Iterator[Finding]:
    """A model that a step calls is in the repository, and takes as many rows as the step sends."""
    for source, step, settings in steps_of(model):
        name = callee_of(step)
        if name is None:
            continue
        place, engine = place_of(model, source, f'"{name}"'), repository.models.get(name)
        if engine is None:
            yield model.fails(place, f"Model {name} is not found", f"add {name} to the repository, or mend its name")
        elif (most := engine.completed.max_batch_size) < settings.get("max_batch_size", 0):
            mend = f"write max_batch_size: {most} in {STEPS_FILE}, or raise it in {name}"
            yield model.fails(place, too_many_rows(name, most), mend)


def _labels_for_each_class(model: Model, repository: Repository) -> Iterator[Finding]:
    """A head names as many classes as its engine gives."""
    for source, _, settings in steps_of(model):
        labels, classes = settings.get("labels"), _classes_of(model, source, repository)
        if isinstance(labels, Sequence) and classes and len(labels) not in classes:
            says = f"{len(labels)} labels for the {min(classes)} classes that the engine gives"
            mend = f"write {min(classes)} labels, in the order of the classes"
            yield model.fails(place_of(model, source, '"labels"'), says, mend)


def _classes_of(model: Model, source: PythonSource, repository: Repository) -> set[int]:
    """The sizes of the last dims of the floating-point tensors that come from an engine, where they are fixed."""
    calls = [settings for settings in map(settings_to_check, source.steps or ()) if "model" in settings]
    given = {dims[-1] for call in calls for _, dims in (call.get("outputs") or {}).values() if dims}
    called = [repository.models[call["model"]] for call in calls if call["model"] in repository.models]
    given |= {tensor.dims[-1] for engine in called for tensor in engine.completed.output if tensor.dims}
    given |= {tensor.dims[-1] for tensor in model.config.input if tensor.name == "outputs" and tensor.dims}
    return {size for size in given if size > 0}


RULES = (_dims_within_positions,)
REPOSITORY_RULES = (_texts_within_positions, _engine_is_there, _labels_for_each_class)
