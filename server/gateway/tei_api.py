"""The endpoints of Text Embeddings Inference (TEI): /embed, /predict, /similarity, /embed_sparse, /tokenize, /info.

Their clients name no model: the one that does the task is meant, or the one that the gateway was started with.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Literal

import numpy as np
from pydantic import ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from tbgen.backends.numerics import at_length_one
from tbgen.backends.softmax_classification import TextClassification
from tbgen.export.run import Tensors
from tbgen.generator.compare.example import Item
from tbgen.generator.version import version
from tbgen.server.gateway.answers import objects_from_columns, only_names
from tbgen.server.gateway.body import Form, form_of, json_response, off_loop
from tbgen.server.gateway.gateway import Gateway
from tbgen.server.gateway.models import FrontModel
from tbgen.server.gateway.no_answer import NoAnswer
from tbgen.server.gateway.rerank_api import LongTextForm
from tbgen.server.gateway.vectors import base64_rows, cut, have_length_one, stacked

_MOST_LABELS = TextClassification.parameters["top_k"]["maximum"]
_INPUTS = "a text, or a list of texts"


class EmbedForm(LongTextForm):
    """What /embed takes."""

    inputs: str | list[str] = Field(description=_INPUTS)
    normalize: bool | None = None
    prompt_name: str | None = None
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] = "float"
    model: str | None = None


class SparseForm(LongTextForm):
    """What /embed_sparse takes."""

    inputs: str | list[str] = Field(description=_INPUTS)
    prompt_name: str | None = None
    model: str | None = None


class PredictForm(LongTextForm):
    """What /predict takes."""

    inputs: str | list[str] | list[list[str]] = Field(
        description="a text, a list of the one or two texts of an item, or a list of such lists"
    )
    raw_scores: bool = False
    model: str | None = None


class Sentences(Form):
    source_sentence: str
    sentences: list[str] = Field(min_length=1)


class SimilarityParameters(LongTextForm):
    model_config = ConfigDict(extra="allow", strict=True)  # those of the model


class SimilarityForm(Form):
    """What /similarity takes."""

    inputs: Sentences
    parameters: SimilarityParameters = SimilarityParameters()
    model: str | None = None


class TokenizeForm(Form):
    """What /tokenize takes."""

    inputs: str | list[str] = Field(description=_INPUTS)
    add_special_tokens: bool = True
    prompt_name: str | None = None
    model: str | None = None


async def embed(gateway: Gateway, request: Request) -> Response:
    """A vector for each text."""
    return await embedded(gateway, request, form_of(EmbedForm, await gateway.body(request)))


async def embedded(gateway: Gateway, request: Request, form: EmbedForm) -> Response:
    """The same by a form. Raises NoAnswer."""
    model = await gateway.models.for_tasks("embedding", name=form.model)
    parameters = form.truncation(model) | ({"prompt_name": form.prompt_name} if form.prompt_name else {})
    rows = await gateway.answers(request, model, _items(form.inputs), ["embedding"], parameters)
    size = len(rows) * model.size
    return await json_response(await off_loop(size, _vectors, model, rows, form), size=size)


def _vectors(model: FrontModel, rows: Sequence[Tensors], form: EmbedForm) -> list[Any]:
    """What the answers' vectors are sent as. Raises NoAnswer."""
    vectors = stacked(model, rows)
    if form.normalize is False and have_length_one(vectors):
        raise NoAnswer(400, "the model makes its vectors of length 1 itself: it has none but normalized ones")
    vectors = cut(vectors, form.dimensions)
    vectors = vectors if form.normalize is False else at_length_one(vectors)
    return base64_rows(vectors) if form.encoding_format == "base64" else [*vectors]


async def embed_sparse(gateway: Gateway, request: Request) -> Response:
    """The weights of each text's tokens."""
    form = form_of(SparseForm, await gateway.body(request))
    model = await gateway.models.for_tasks("sparse-embedding", name=form.model)
    parameters = form.truncation(model) | ({"prompt_name": form.prompt_name} if form.prompt_name else {})
    wanted = ["token_ids", "token_weights", "token_count"]
    rows = await gateway.answers(request, model, _items(form.inputs), wanted, parameters)
    size = 2 * sum(row["token_ids"].size for row in rows)
    return await json_response(await off_loop(size, _pairs, model, rows), size=size)


def _pairs(model: FrontModel, rows: Sequence[Tensors]) -> list[list[dict[str, Any]]]:
    """Number and weight of each token. Raises NoAnswer."""
    return [
        objects_from_columns(
            model, "tokens", {"index": row["token_ids"], "value": row["token_weights"]}, row["token_count"]
        )
        for row in rows
    ]


async def predict(gateway: Gateway, request: Request) -> Response:
    """All labels of each text, or pair of texts, best first."""
    form = form_of(PredictForm, await gateway.body(request))
    model = await gateway.models.for_tasks("text-classification", name=form.model)
    inputs = form.inputs
    pairs = [[inputs]] if isinstance(inputs, str) else [inputs] if inputs and isinstance(inputs[0], str) else inputs
    items = [_pair_item(model, each) for each in pairs]
    found = await all_labels(gateway, request, model, items, form.truncation(model), form.raw_scores)
    single = not isinstance(inputs, list) or isinstance(inputs[0], str)
    return await json_response(found[0] if single else found)


async def all_labels(
    gateway: Gateway, request: Request, model: FrontModel, items: Sequence[Item], parameters: dict[str, Any], raw: bool
) -> list[list[dict[str, Any]]]:
    """Every label of each item with its score, or its logit, best first. Raises NoAnswer."""
    if "top_labels" not in model.outputs:
        rows = await gateway.answers(request, model, items, ["value"], parameters)
        return [named_values(model, row["value"]) for row in rows]
    if raw and "logits" not in model.outputs:
        raise NoAnswer(400, f"model {model.name!r} gives no logits; leave out raw_scores, or function_to_apply")
    parameters |= {"top_k": _MOST_LABELS, **({"threshold": 0.0} if "sigmoid" in model.outputs else {})}
    scores = "logits" if raw else "top_scores"
    parameters |= {"logits": True} if raw else {}
    rows = await gateway.answers(request, model, items, ["top_labels", scores], parameters)
    best = [np.sort(row[scores])[::-1] if raw else row[scores] for row in rows]  # logits and scores rise together
    columns = [{"score": each, "label": row["top_labels"]} for row, each in zip(rows, best, strict=True)]
    return [objects_from_columns(model, "labels", each) for each in columns]


def named_values(model: FrontModel, values: np.ndarray) -> list[dict[str, Any]]:
    """The values of a regression with the names that its record has, the largest first. Raises NoAnswer."""
    names, scores = model.record.get("settings", {}).get("labels") or [], {"score": values}
    found = [
        each | {"label": names[place] if place < len(names) else f"LABEL_{place}"}
        for place, each in enumerate(objects_from_columns(model, "labels", scores))
    ]
    return sorted(found, key=itemgetter("score"), reverse=True)


async def similarity(gateway: Gateway, request: Request) -> Response:
    """How near each sentence is to the source sentence."""
    form = form_of(SimilarityForm, await gateway.body(request))
    return await json_response(await similarities(gateway, request, form))


async def similarities(gateway: Gateway, request: Request, form: SimilarityForm) -> list[Any]:
    """The scores in the sentences' order: a similarity model's, else cosines of an embedding model's vectors."""
    tasks = ("similarity", "embedding", *(("rerank",) if form.model else ()))
    model = await gateway.models.for_tasks(*tasks, name=form.model)
    source, sentences = form.inputs.source_sentence, form.inputs.sentences
    said = form.parameters.model_extra or {}
    parameters = form.parameters.truncation(model) | {name: each for name, each in said.items() if each is not None}
    if model.task != "embedding":
        (row,) = await gateway.answers(request, model, [{"query": source, "texts": sentences}], ["scores"], parameters)
        scores = [each["score"] for each in objects_from_columns(model, "scores", {"score": row["scores"]})]
        if len(scores) != len(sentences):
            raise only_names(model, "scores")
        return scores
    rows = await gateway.answers(request, model, _items([source, *sentences]), ["embedding"], parameters)
    vectors = at_length_one(stacked(model, rows))
    return list(vectors[1:] @ vectors[0])


async def tokenize(gateway: Gateway, request: Request) -> Response:
    """Each text's tokens, uncut."""
    form = form_of(TokenizeForm, await gateway.body(request))
    model = await gateway.models.any(form.model)
    texts = [form.inputs] if isinstance(form.inputs, str) else form.inputs
    gateway.check_size(_items(texts))
    rows = await gateway.tokens.listed(model, texts, form.add_special_tokens, form.prompt_name)
    return await json_response(rows, size=5 * sum(map(len, rows)))


async def info(gateway: Gateway, request: Request) -> Response:
    """What TEI says of its one model."""
    model = await gateway.models.any(request.query_params.get("model"))
    export, labels = model.record.get("export", {}), model.record.get("settings", {}).get("labels") or []
    of_labels = {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    kind: dict[str, Any] = {"embedding": {"embedding": {"pooling": "model"}}}
    kind |= {"sparse-embedding": {"embedding": {"pooling": "splade"}}}
    kind |= {"rerank": {"reranker": of_labels}}
    answer = {
        "model_id": model.name,
        "model_sha": export.get("made", {}).get("sha256"),
        "model_dtype": {"fp16": "float16", "int8": "int8"}.get(export.get("made", {}).get("precision", ""), "float32"),
        "model_type": kind.get(model.task, {"classifier": of_labels}),
        "max_concurrent_requests": gateway.settings.requests,
        "max_input_length": export.get("max_length"),
        "max_batch_tokens": None,
        "max_batch_requests": model.rows or None,
        "max_client_batch_size": gateway.settings.texts,
        "auto_truncate": True,
        "tokenization_workers": 1,
        "version": version(),
        "sha": None,
        "docker_label": None,
    }
    return await json_response(answer | {"task": model.task, "triton_model": model.model})


def _items(inputs: str | Sequence[str]) -> list[Item]:
    return [{"input_text": text} for text in ([inputs] if isinstance(inputs, str) else inputs)]


def _pair_item(model: FrontModel, texts: str | Sequence[str]) -> Item:
    """One or two texts as an item. Raises NoAnswer."""
    wanted = [name for name in ("input_text", "text_pair") if name in model.inputs]
    given = [texts] if isinstance(texts, str) else list(texts)
    if len(given) != len(wanted):
        raise NoAnswer(400, f"inputs: {len(given)} texts in a sequence; model {model.name!r} takes {len(wanted)}")
    return dict(zip(wanted, given, strict=True))
