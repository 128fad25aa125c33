"""Hugging Face's inference API at /models/NAME: `inputs` and `parameters` of pipelines, as InferenceClient has them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from pydantic import ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from tbgen.backends.numerics import softmax
from tbgen.backends.rerank import ACTIVATIONS
from tbgen.server.gateway import tei_api
from tbgen.server.gateway.answers import objects_from_tensors, outputs_of
from tbgen.server.gateway.body import Form, form_of, json_response
from tbgen.server.gateway.gateway import Gateway
from tbgen.server.gateway.models import FrontModel
from tbgen.server.gateway.no_answer import NoAnswer

# The pipelines' names of parameters -> tbgen's; all others go by the same name, or the model refuses them.
_NAMES = {"aggregation_strategy": "aggregation", "handle_impossible_answer": "no_answer"}
_FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {  # of logits, as text-classification's pipeline has them
    "none": ACTIVATIONS["Identity"],
    "softmax": softmax,
    "sigmoid": ACTIVATIONS["Sigmoid"],
}
_Answer = dict[str, Any]
_NOTHING: _Answer = {"answer": "", "score": 0.0, "start": 0, "end": 0}


async def pipeline(gateway: Gateway, request: Request, model: FrontModel, body: dict[str, Any]) -> Response:
    """The answer of the task's pipeline. Raises NoAnswer."""
    form = form_of(_PipelineForm, body)
    if model.task == "embedding" and not isinstance(form.inputs, dict):
        said = {**(form.parameters or {}), **body, "model": model.model}
        fields = {name: value for name, value in said.items() if name not in ("parameters", "options")}
        return await tei_api.embedded(gateway, request, form_of(tei_api.EmbedForm, fields))
    parameters = {_NAMES.get(name, name): value for name, value in (form.parameters or {}).items() if value is not None}
    if model.task in ("similarity", "embedding") or (model.task == "rerank" and isinstance(form.inputs, dict)):
        said = {"inputs": form.inputs, "parameters": parameters, "model": model.model}
        return await json_response(await tei_api.similarities(gateway, request, form_of(tei_api.SimilarityForm, said)))
    if model.task not in _PIPELINES:
        raise NoAnswer(400, f"{model.task} has no pipeline; name its inputs: {', '.join(model.inputs)}")
    several = isinstance(form.inputs, list)
    found = await _PIPELINES[model.task](gateway, request, model, form.inputs if several else [form.inputs], parameters)
    return await json_response(found if several or model.task == "text-classification" else found[0])


async def of_chosen(gateway: Gateway, request: Request) -> Response:
    """The same of the model that is meant where none is named, as TEI has it at its root."""
    body = await gateway.body(request)
    name = body.pop("model", None)
    if not isinstance(name, str | None):
        raise NoAnswer(400, "model takes the name of a model")
    return await pipeline(gateway, request, await gateway.models.any(name), body)


class _PipelineForm(Form):
    model_config = ConfigDict(extra="ignore", strict=True)  # `options` and the like are of the hosted service
    inputs: Any
    parameters: dict[str, Any] | None = None


_Pipeline = Callable[[Gateway, Request, FrontModel, list[Any], dict[str, Any]], Awaitable[list[Any]]]


async def _answers(
    gateway: Gateway, request: Request, model: FrontModel, items: list[_Answer], parameters: dict[str, Any], name: str
) -> list[list[Any]]:
    """The list of a name in each item's answer. Raises NoAnswer."""
    if not all(isinstance(item, dict) for item in items):
        raise NoAnswer(400, f"inputs takes a JSON object with {' and '.join(model.inputs)}")
    rows = await gateway.answers(request, model, items, outputs_of(model), parameters)
    return [objects_from_tensors(model, row, name) for row in rows]


async def _text_classification(
    gateway: Gateway, request: Request, model: FrontModel, inputs: list[Any], parameters: dict[str, Any]
) -> list[Any]:
    """[{label, score}] for each text, best first."""
    function = parameters.pop("function_to_apply", None)
    if function not in (None, *_FUNCTIONS):
        raise NoAnswer(400, f"function_to_apply takes one of {', '.join(_FUNCTIONS)}")
    most = _top_k(parameters)
    parameters.pop("top_k", None)
    named = [text if isinstance(text, dict) else {"text": text} for text in inputs]  # of a pair `text`, `text_pair`
    items = [{"input_text" if name == "text" else name: each for name, each in item.items()} for item in named]
    found = await tei_api.all_labels(gateway, request, model, items, parameters, function is not None)
    if function:
        found = [_by_function(labels, _FUNCTIONS[function]) for labels in found]
    return [labels[:most] for labels in found]  # best first, also by a function, which rises with its logit


def _top_k(parameters: dict[str, Any]) -> int | None:
    """How many answers are asked for, if that is said. Raises NoAnswer."""
    most = parameters.get("top_k")
    if most is not None and not (type(most) is int and most > 0):
        raise NoAnswer(400, "top_k takes a whole number from 1 on")
    return most


def _by_function(labels: list[_Answer], function: Callable[[np.ndarray], np.ndarray]) -> list[_Answer]:
    """Labels with their logits as labels with scores."""
    logits = np.array([each["score"] for each in labels]) * 1.0  # whole numbers as FP64, FP16 and FP32 as they are
    with np.errstate(over="ignore"):  # of differences, whose powers are 0
        scores = function(logits) if labels else logits
    return [each | {"score": score} for each, score in zip(labels, scores, strict=True)]


async def _token_classification(
    gateway: Gateway, request: Request, model: FrontModel, inputs: list[Any], parameters: dict[str, Any]
) -> list[Any]:
    """[{entity_group, score, word, start, end}] for each text."""
    label = "entity" if parameters.get("aggregation") == "none" else "entity_group"
    found = await _answers(gateway, request, model, [{"input_text": text} for text in inputs], parameters, "entities")
    return [[{label: each.pop("label"), **each} for each in entities] for entities in found]


async def _question_answering(
    gateway: Gateway, request: Request, model: FrontModel, inputs: list[Any], parameters: dict[str, Any]
) -> list[Any]:
    """{answer, score, start, end} for each question, a list of them where top_k is more than 1."""
    several = (_top_k(parameters) or 1) > 1
    found = await _answers(gateway, request, model, inputs, parameters, "answers")
    lists = [[{"answer": each.pop("text"), **each} for each in answers] for answers in found]
    return lists if several else [answers[0] if answers else _NOTHING for answers in lists]


async def _fill_mask(
    gateway: Gateway, request: Request, model: FrontModel, inputs: list[Any], parameters: dict[str, Any]
) -> list[Any]:
    """[{sequence, score, token, token_str}] for each text; for several masks a list of such lists."""
    if isinstance(parameters.get("targets"), list):
        parameters["targets"] = " ".join(map(str, parameters["targets"]))
    found = await _answers(gateway, request, model, [{"input_text": text} for text in inputs], parameters, "masks")
    names = {"sequence": "text", "score": "score", "token": "id", "token_str": "token"}
    lists = [[[{new: each[old] for new, old in names.items()} for each in mask] for mask in masks] for masks in found]
    return [masks[0] if len(masks) == 1 else masks for masks in lists]


async def _zero_shot(
    gateway: Gateway, request: Request, model: FrontModel, inputs: list[Any], parameters: dict[str, Any]
) -> list[Any]:
    """[{label, score}] for each text, of the parameters' candidate labels."""
    labels = parameters.pop("candidate_labels", None)
    items = [{"input_text": text, "candidate_labels": labels} for text in inputs]
    return await _answers(gateway, request, model, items, parameters, "labels")


_PIPELINES: dict[str, _Pipeline] = {
    "text-classification": _text_classification,
    "token-classification": _token_classification,
    "question-answering": _question_answering,
    "fill-mask": _fill_mask,
    "zero-shot-classification": _zero_shot,
}
