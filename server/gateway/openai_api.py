"""OpenAI's endpoints: /v1/models and /v1/embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from tbgen.export.run import Tensors
from tbgen.server.gateway.body import Form, form_of, json_response, off_loop
from tbgen.server.gateway.gateway import Gateway
from tbgen.server.gateway.models import FrontModel
from tbgen.server.gateway.no_answer import NoAnswer
from tbgen.server.gateway.vectors import base64_rows, cut, stacked


class EmbeddingsForm(Form):
    """What /v1/embeddings takes."""

    model: str | None = None
    input: str | list[str] | list[int] | list[list[int]] = Field(description="a text, or a list of texts")
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    user: str | None = Field(None, description="not read")
    prompt_name: str | None = Field(None, description="a prompt that the model was trained with, such as query")


async def embeddings(gateway: Gateway, request: Request) -> Response:
    """A vector for each text."""
    form = form_of(EmbeddingsForm, await gateway.body(request))
    texts = [form.input] if isinstance(form.input, str) else form.input
    if not all(isinstance(text, str) for text in texts):
        raise NoAnswer(
            400, "input: token ids are those of one tokenizer; send texts (LangChain: check_embedding_ctx_length=False)"
        )
    model = await gateway.models.for_tasks("embedding", name=form.model)
    parameters = {"prompt_name": form.prompt_name} if form.prompt_name else {}
    items = [{"input_text": text} for text in texts]
    rows, tokens = await gateway.counted(request, model, items, ["embedding"], parameters)
    size = len(rows) * model.size
    data = await off_loop(size, _vectors, model, rows, form)
    answer = {
        "object": "list",
        "data": [{"object": "embedding", "index": index, "embedding": each} for index, each in enumerate(data)],
        "model": form.model or model.name,
        "usage": None if tokens is None else {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    return await json_response(answer, size=size)


def _vectors(model: FrontModel, rows: Sequence[Tensors], form: EmbeddingsForm) -> list[Any]:
    """What the answers' vectors are sent as. Raises NoAnswer."""
    vectors = cut(stacked(model, rows), form.dimensions)
    return base64_rows(vectors) if form.encoding_format == "base64" else [*vectors]


async def models(gateway: Gateway, _: Request) -> Response:
    """The names that `model` takes."""
    names = dict.fromkeys(each.name for each in await gateway.models.all())
    found = [_model_object(name, await gateway.models.named(name)) for name in names]
    return await json_response({"object": "list", "data": found})


async def model(gateway: Gateway, request: Request) -> Response:
    """One of them."""
    name = request.path_params["name"]
    return await json_response(_model_object(name, await gateway.models.named(name)))


def _model_object(name: str, found: FrontModel) -> dict[str, Any]:
    created = int(found.folder.stat().st_mtime) if found.folder and found.folder.exists() else 0
    said = {"id": name, "object": "model", "created": created, "owned_by": "tbgen"}
    return said | {"root": found.model, "task": found.task}
