"""Bodies and requests that clients send beside the plain ones: nulls, fields of hosted services, methods, browsers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tbgen.server.gateway.models import FrontModel
from tbgen.server.gateway.rerank_api import TextsForm
from tbgen.server.gateway.settings import GatewaySettings
from tests.server.gateway.running import Asked, running_gateway

SITE = "http://localhost:3000"
ODD: list[tuple[str, dict[str, Any], dict[str, Any]]] = [  # a body of a client's, and the plain one that it stands for
    ("/v1/embeddings", {"model": "vectors", "dimensions": None, "user": None, "encoding_format": None}, {}),
    ("/v1/embeddings", {"model": None, "speed": None}, {}),
    ("/embed", {"truncate": None, "truncation_direction": "Right", "normalize": None, "prompt_name": None}, {}),
    ("/predict", {"raw_scores": None, "truncation_direction": "right", "truncate": False}, {}),
    ("/embed_sparse", {"truncation_direction": "Right"}, {}),
    (
        "/rerank",
        {"model": "near", "query": "a", "texts": ["b"], "raw_scores": False, "truncate": True},
        {"model": "near", "query": "a", "texts": ["b"]},
    ),
    ("/tokenize", {"add_special_tokens": None, "prompt_name": None}, {}),
    ("/models/mood", {"parameters": None, "tokens": None, "stages": None, "items": None}, {}),
    ("/models/mood", {"inputs": "금리", "options": {"wait_for_model": True}}, {"inputs": "금리"}),
    (
        "/models/vectors",
        {"inputs": "금리", "options": {"use_cache": False}, "parameters": {"dimensions": 4}},
        {"inputs": "금리", "dimensions": 4},
    ),
    (
        "/models/near",
        {
            "inputs": {"source_sentence": "a", "sentences": ["b"]},
            "parameters": {"truncate": True, "truncation_direction": "Right"},
        },
        {"inputs": {"source_sentence": "a", "sentences": ["b"]}},
    ),
    (
        "/rerank",
        {
            "query": "a",
            "documents": ["b", {"text": "c"}],
            "top_n": None,
            "return_documents": None,
            "rank_fields": None,
            "max_tokens_per_doc": None,
        },
        {"query": "a", "documents": ["b", "c"]},
    ),
    (
        "/rerank",
        {"query": "a", "texts": ["b", ""], "documents": None, "return_text": None, "truncation_direction": "Right"},
        {"query": "a", "texts": ["b", ""]},
    ),
]
TEXT_OF = {"/v1/embeddings": "input", "/models/mood": "input_text"}


@pytest.mark.parametrize(("path", "odd", "plain"), ODD)
def test_odd_bodies_say_what_plain_ones_do(
    gateway: Asked, path: str, odd: dict[str, Any], plain: dict[str, Any]
) -> None:
    field = {TEXT_OF.get(path, "inputs"): "금리"} if not plain else {}
    said, wanted = (gateway.post(path, field | body) for body in (odd, plain))
    assert (said.status, wanted.status) == (200, 200), (said.body, wanted.body)
    for answer in (said, wanted):
        if isinstance(answer.body, dict):
            answer.body.pop("id", None)
    assert said.body == wanted.body


def test_a_model_that_reads_windows_is_not_told_to_cut() -> None:
    model = FrontModel("a", "a_onnx_bls", "bls", {}, {"settings": {"long_text": "windows"}})
    said = [TextsForm(query="a", texts=["b"], truncate=truncate).truncation(model) for truncate in (None, True, False)]
    assert said == [{}, {}, {"truncation": "do_not_truncate"}]


def test_documents_come_back_as_they_were_sent(gateway: Asked) -> None:
    documents = ["금리가 올랐다", {"text": "비가 온다", "title": "날씨", "url": None}]
    body = {"query": "금리", "documents": documents, "return_documents": True}
    found = {each["index"]: each["document"] for each in gateway.post("/rerank", body).body["results"]}
    assert found == {0: {"text": "금리가 올랐다"}, 1: documents[1]}


def test_a_method_that_a_path_has_not_is_told_the_others(gateway: Asked) -> None:
    for path, error in (("/v1/embeddings", dict), ("/embed", str)):
        said = gateway.get(path)
        assert (said.status, said.headers["allow"], type(said.body["error"])) == (405, "POST", error)
    assert gateway.send("HEAD", "/health").status == gateway.send("HEAD", "/").status == 200


def test_pages_of_a_site_that_is_named_may_ask_in_a_browser(settings: GatewaySettings) -> None:
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    with running_gateway(replace(settings, origins=(SITE,), keys=frozenset({"key"}))) as gateway:
        for origin, status, allowed in ((SITE, 200, SITE), ("http://other", 400, None)):
            asked = gateway.send("OPTIONS", "/v1/embeddings", headers={"origin": origin, **asks})
            assert (asked.status, asked.headers.get("access-control-allow-origin")) == (status, allowed)
        body = {"model": "vectors", "input": "금리"}
        said = gateway.post("/v1/embeddings", body, origin=SITE, authorization="Bearer key")
        assert said.status == 200
        assert said.headers["access-control-allow-origin"] == SITE
