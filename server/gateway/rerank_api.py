"""/rerank: `documents` is Cohere's and Jina's shape, `texts` is TEI's."""

from __future__ import annotations

import uuid
from typing import Any, Literal

from pydantic import ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from tbgen.backends.text_tokenizer import KEEP_ALL
from tbgen.backends.tokenizer import LONGEST_FIRST
from tbgen.server.gateway.answers import RANKED, objects_from_tensors, outputs_of
from tbgen.server.gateway.body import Form, form_of, json_response
from tbgen.server.gateway.gateway import Gateway
from tbgen.server.gateway.models import FrontModel


class LongTextForm(Form):
    """TEI's switches for texts that are longer than the model."""

    truncate: bool | None = Field(
        default=None, description="true: they are cut, false: refused; else as the model was written"
    )
    truncation_direction: Literal["Right", "right"] | None = Field(default=None, description="the end that is cut off")

    def truncation(self, model: FrontModel) -> dict[str, Any]:
        """The request parameter that says it; none to a model that reads long texts in windows, so cuts none."""
        if self.truncate is None or (self.truncate and model.record.get("settings", {}).get("long_text") == "windows"):
            return {}
        return {"truncation": LONGEST_FIRST if self.truncate else KEEP_ALL}


class TextsForm(LongTextForm):
    """TEI's shape."""

    query: str
    texts: list[str]
    raw_scores: bool | None = Field(None, description="true: logits, false: sigmoid; else as the model was saved")
    return_text: bool = False
    model: str | None = None


class Document(Form):
    model_config = ConfigDict(extra="allow", strict=True)  # a title and the like, which come back with it
    text: str


class DocumentsForm(Form):
    """Cohere's and Jina's shape."""

    query: str
    documents: list[str | Document] = Field(description="a list of texts, or of objects with `text`")
    model: str | None = None
    top_n: int | None = Field(None, ge=1)
    return_documents: bool = False


async def rerank(gateway: Gateway, request: Request) -> Response:
    """The texts by how well they answer the query, best first."""
    body = await gateway.body(request)
    if "documents" in body:
        return await _documents(gateway, request, form_of(DocumentsForm, body))
    return await json_response(await ranked_texts(gateway, request, form_of(TextsForm, body)))


async def ranked_texts(gateway: Gateway, request: Request, form: TextsForm) -> list[dict[str, Any]]:
    """TEI's answer. Raises NoAnswer."""
    model = await gateway.models.for_tasks(*RANKED, name=form.model)
    parameters = form.truncation(model)
    if form.raw_scores is not None and model.task == "rerank":  # a similarity is what it is
        parameters["sigmoid"] = not form.raw_scores
    item = {"query": form.query, "texts": form.texts}
    (row,) = await gateway.answers(request, model, [item], outputs_of(model), parameters)
    found = objects_from_tensors(model, row, "results", item)
    return [each | ({"text": form.texts[each["index"]]} if form.return_text else {}) for each in found]


async def _documents(gateway: Gateway, request: Request, form: DocumentsForm) -> Response:
    """Cohere's answer, with what Jina's has more."""
    model = await gateway.models.for_tasks(*RANKED, name=form.model)
    documents = [Document(text=each) if isinstance(each, str) else each for each in form.documents]
    item = {"query": form.query, "texts": [each.text for each in documents]}
    (row,), tokens = await gateway.counted(request, model, [item], outputs_of(model))
    found = [
        {"index": each["index"], "relevance_score": each["score"]}
        | ({"document": documents[each["index"]].model_dump()} if form.return_documents else {})
        for each in objects_from_tensors(model, row, "results", item)[: form.top_n]
    ]
    usage = None if tokens is None else {"prompt_tokens": tokens, "total_tokens": tokens}
    meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}
    answer = {"id": str(uuid.uuid4()), "object": "list", "model": form.model or model.name, "results": found}
    return await json_response(answer | {"usage": usage, "meta": meta | {"tokens": {"input_tokens": tokens}}})
