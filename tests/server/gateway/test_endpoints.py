"""Endpoints as their clients know them, and typed JSON for each task, as Triton itself answers (gateway.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from tbgen.server.client.address import Address
from tbgen.server.client.connection import Connection
from tbgen.server.embedded.server import EmbeddedServer
from tbgen.server.gateway.settings import GatewaySettings
from tests.server.gateway.running import Asked, running_gateway
from tests.texts import HARD_TEXTS, SENTENCES

TEXTS = ["금리가 올랐다", "비가 온다", "🔥 오늘도 상한가"]


def direct(server: EmbeddedServer, model: str, item: dict[str, Any]) -> dict[str, np.ndarray]:
    """Triton's answer to one item."""
    lists = {name: value if isinstance(value, list) else [value] for name, value in item.items()}
    tensors = {name: np.array([[text.encode() for text in texts]], dtype=object) for name, texts in lists.items()}
    with Connection(f"grpc://{server.grpc_url}") as connection:
        return {name: array[0] for name, array in connection.infer(model, tensors).items()}


def near(value: Any) -> Any:
    return pytest.approx(value, abs=1e-6)


def texts_of(array: np.ndarray) -> list[str]:
    return [each.decode() for each in array]


ITEMS: dict[str, dict[str, Any]] = {
    "mood": {"input_text": SENTENCES[0]},
    "topics": {"input_text": SENTENCES[3]},
    "names": {"input_text": SENTENCES[0]},
    "vectors": {"input_text": "금리"},
    "masks": {"input_text": "[MASK] 상한가 [MASK]"},
    "words": {"input_text": "금리"},
    "answers": {"question": "언제?", "context": "주주총회는 20일에 열린다."},
    "ranks": {"query": "금리", "texts": TEXTS},
    "near": {"query": "금리", "texts": TEXTS},
    "any_label": {"input_text": "금리가 올랐다", "candidate_labels": ["금리", "날씨"]},
}


def typed(name: str, out: dict[str, np.ndarray]) -> dict[str, Any]:
    """What the tensors of Triton's answer say, as the task's typed JSON says it."""
    rows = {
        "mood": lambda: ("labels", {"label": "top_labels", "score": "top_scores"}),
        "topics": lambda: ("labels", {"label": "top_labels", "score": "top_scores"}),
        "names": lambda: ("entities", {k: f"entities_{k}" for k in ("label", "word", "score", "start", "end")}),
        "words": lambda: ("tokens", {"token": "tokens", "id": "token_ids", "weight": "token_weights"}),
        "answers": lambda: ("answers", {k: f"answer_{k}" for k in ("text", "score", "start", "end")}),
        "any_label": lambda: ("labels", {"label": "labels", "score": "scores"}),
    }
    if name in rows:
        key, fields = rows[name]()
        lists = [
            texts_of(out[t]) if out[t].dtype == object else near(out[t].tolist()).expected for t in fields.values()
        ]
        return {key: [{f: near(v) for f, v in zip(fields, row, strict=True)} for row in zip(*lists, strict=True)]}
    if name == "vectors":
        return {"embedding": near(out["embedding"].tolist())}
    if name == "masks":
        fields = {"token": "tokens", "id": "token_ids", "score": "token_scores", "text": "filled_text"}
        masks = []
        for mask in range(out["mask_count"].item()):
            lists = [out[t][mask].tolist() for t in fields.values()]
            rows_ = [dict(zip(fields, row, strict=True)) for row in zip(*lists, strict=True)]
            masks.append(
                [{f: v.decode() if isinstance(v, bytes) else near(v) for f, v in row.items()} for row in rows_]
            )
        return {"masks": masks}
    best = out["ranking"].tolist()
    return {"results": [{"index": i, "text": TEXTS[i], "score": near(out["scores"][i].item())} for i in best]}


@pytest.mark.parametrize("name", ITEMS)
def test_each_task_is_answered_as_typed_json(gateway: Asked, every_task: EmbeddedServer, name: str) -> None:
    said = gateway.post(f"/models/{name}", {**ITEMS[name], "tokens": True, "stages": True})
    assert said.status == 200, said.body
    assert said.body["answers"] == [typed(name, direct(every_task, f"{name}_onnx_bls", ITEMS[name]))]
    assert said.body["usage"]["total_tokens"] > 2
    assert {"engine", "wire"} <= said.body["stages"]["milliseconds"].keys()
    assert said.body["stages"]["total"] > 0


def test_several_items_of_unequal_width_are_one_request(gateway: Asked) -> None:
    items = [{"query": "금리", "texts": TEXTS}, {"query": "비", "texts": TEXTS[:1]}]
    together = gateway.post("/models/ranks", {"items": items}).body["answers"]
    assert together == [gateway.post("/models/ranks", item).body["answers"][0] for item in items]


def test_more_texts_than_the_model_takes_at_once_are_cut_into_requests(gateway: Asked) -> None:
    texts = [f"{number} {SENTENCES[number % 8]}" for number in range(300)]
    many = gateway.post("/embed", {"inputs": texts}).body
    assert len(many) == 300
    np.testing.assert_allclose(many[299], gateway.post("/embed", {"inputs": texts[299]}).body[0], atol=1e-5)


def test_tei_embeds(gateway: Asked, every_task: EmbeddedServer) -> None:
    vector = direct(every_task, "vectors_onnx_bls", {"input_text": "금리"})["embedding"]
    assert gateway.post("/embed", {"inputs": ["금리"]}).body == [near(vector.tolist())]
    short = vector[:4] / np.linalg.norm(vector[:4])
    assert gateway.post("/embed", {"inputs": "금리", "dimensions": 4}).body == [near(short.tolist())]
    prompted = direct(every_task, "vectors_onnx_bls", {"input_text": "질문: 금리"})["embedding"]
    assert gateway.post("/embed", {"inputs": "금리", "prompt_name": "query"}).body == [near(prompted.tolist())]
    refused = gateway.post("/embed", {"inputs": "금리", "normalize": False})
    assert (refused.status, "it has none but normalized ones" in refused.body["error"]) == (400, True)
    refused = gateway.post("/embed", {"inputs": "가 " * 400, "truncate": False})
    assert (refused.status, "tokens; the model takes at most" in refused.body["error"]) == (400, True)


def test_tei_predicts(gateway: Asked) -> None:
    one = gateway.post("/predict", {"inputs": "오늘도 상한가 갔다"}).body
    assert {each["label"] for each in one} == {"부정", "중립", "긍정"}
    assert one == sorted(one, key=lambda each: -each["score"])
    assert gateway.post("/predict", {"inputs": [["오늘도 상한가 갔다"], [""]]}).body[0] == one
    logits = gateway.post("/predict", {"inputs": "오늘도 상한가 갔다", "raw_scores": True}).body
    powers = np.exp([each["score"] for each in logits])
    assert [each["label"] for each in logits] == [each["label"] for each in one]
    assert (powers / powers.sum()).tolist() == near([each["score"] for each in one])
    refused = gateway.post("/predict", {"inputs": [["a", "b"]]})
    assert (refused.status, refused.body["error"]) == (
        400,
        "inputs: 2 texts in a sequence; model 'mood' takes 1",
    )


@pytest.mark.parametrize("name", ["mood", "topics"])
def test_a_pipelines_function_makes_scores_of_logits(gateway: Asked, name: str) -> None:
    def scores(function: str) -> dict[str, float]:
        body = {"inputs": "오늘도 상한가 갔다", "parameters": {"function_to_apply": function}}
        (found,) = gateway.post(f"/models/{name}", body).body
        assert found == sorted(found, key=lambda each: -each["score"])
        return {each["label"]: each["score"] for each in found}

    logits = scores("none")
    assert scores("sigmoid") == {label: near(1 / (1 + np.exp(-logit))) for label, logit in logits.items()}
    whole = sum(np.exp(list(logits.values())))
    assert scores("softmax") == {label: near(np.exp(logit) / whole) for label, logit in logits.items()}


def test_tei_gives_every_label_of_a_multi_label_model(gateway: Asked) -> None:
    found = gateway.post("/predict", {"inputs": "오늘도", "model": "topics"}).body
    assert {each["label"] for each in found} == {"politics", "경제", "sports"}


def test_tei_ranks(gateway: Asked, every_task: EmbeddedServer) -> None:
    scores = direct(every_task, "ranks_onnx_bls", {"query": "금리", "texts": TEXTS})["scores"]
    found = gateway.post("/rerank", {"query": "금리", "texts": TEXTS, "return_text": True}).body
    best = sorted(range(3), key=lambda index: -scores[index])
    assert found == [{"index": i, "score": near(scores[i].item()), "text": TEXTS[i]} for i in best]
    raw = gateway.post("/rerank", {"query": "금리", "texts": TEXTS, "raw_scores": True}).body
    assert [1 / (1 + np.exp(-each["score"])) for each in raw] == near([each["score"] for each in found])


def test_jina_and_cohere_rank_documents(gateway: Asked) -> None:
    body = {"model": "ranks", "query": "금리", "documents": [TEXTS[0], {"text": TEXTS[1]}], "top_n": 1}
    said = gateway.post("/v1/rerank", body | {"return_documents": True}).body
    texts = gateway.post("/rerank", {"query": "금리", "texts": TEXTS[:2], "return_text": True}).body
    assert said["results"] == [
        {"index": texts[0]["index"], "relevance_score": texts[0]["score"], "document": {"text": texts[0]["text"]}}
    ]
    assert said["usage"]["total_tokens"] == said["meta"]["tokens"]["input_tokens"] > 6
    refused = gateway.post("/v1/rerank", body | {"model": "mood"})
    assert refused.status == 400
    assert refused.body["message"] == refused.body["detail"] == refused.body["error"]


def test_tei_compares(gateway: Asked, every_task: EmbeddedServer) -> None:
    body = {"inputs": {"source_sentence": "금리", "sentences": TEXTS}}
    scores = direct(every_task, "near_onnx_bls", {"query": "금리", "texts": TEXTS})["scores"]
    assert gateway.post("/similarity", body).body == near(scores.tolist())
    vectors = np.array(gateway.post("/embed", {"inputs": ["금리", *TEXTS]}).body)
    assert gateway.post("/similarity", body | {"model": "vectors"}).body == near((vectors[1:] @ vectors[0]).tolist())


def test_tei_embeds_sparsely(gateway: Asked, every_task: EmbeddedServer) -> None:
    out = direct(every_task, "words_onnx_bls", {"input_text": "금리"})
    found = gateway.post("/embed_sparse", {"inputs": "금리"}).body
    pairs = zip(out["token_ids"].tolist(), out["token_weights"].tolist(), strict=True)
    assert found == [[{"index": index, "value": near(value)} for index, value in pairs]]


def test_tei_lists_tokens(gateway: Asked) -> None:
    (found,) = gateway.post("/tokenize", {"inputs": "오늘 a", "model": "vectors"}).body
    assert [each["special"] for each in found] == [True, False, False, False, True]
    assert [("오늘 a"[each["start"] : each["stop"]], each["text"]) for each in found[1:-1]] == [
        ("오", "오"),
        ("늘", "늘"),
        ("a", "a"),
    ]
    plain = gateway.post("/tokenize", {"inputs": ["오늘 a"], "model": "vectors", "add_special_tokens": False}).body
    assert [each["id"] for each in plain[0]] == [each["id"] for each in found[1:-1]]


def test_tei_says_what_it_serves(gateway: Asked) -> None:
    said = gateway.get("/info").body
    assert (said["model_id"], said["model_type"]["classifier"]["id2label"]["0"]) == ("mood", "부정")
    assert gateway.get("/info?model=vectors").body["model_type"] == {"embedding": {"pooling": "model"}}


@pytest.mark.parametrize("graph", ["ensemble", "bls", "single"])
def test_tokens_are_counted_alike_in_each_graph(gateway: Asked, repository: Path, graph: str) -> None:
    """Held against the tokenizer's file: special tokens count, padding and what is cut off do not."""
    folder = repository / "vectors_onnx_bls" / "1"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    texts = HARD_TEXTS + SENTENCES
    assert max(len(each.ids) for each in tokenizer.encode_batch(texts)) > 40
    settings = [row["settings"] for row in json.loads((folder / "steps.json").read_text(encoding="utf-8"))["steps"]]
    tokenizer.enable_truncation(next(each["max_length"] for each in settings if "max_length" in each))
    wanted = sum(len(each.ids) for each in tokenizer.encode_batch(texts))
    said = gateway.post("/v1/embeddings", {"model": f"vectors_onnx_{graph}", "input": texts}).body
    assert said["usage"] == {"prompt_tokens": wanted, "total_tokens": wanted}
    prompted = gateway.post("/v1/embeddings", {"model": f"vectors_onnx_{graph}", "input": "a", "prompt_name": "query"})
    assert prompted.body["usage"]["total_tokens"] == len(tokenizer.encode("질문: a").ids)


def test_without_the_repository_all_is_answered_but_tokens(every_task: EmbeddedServer) -> None:
    with running_gateway(GatewaySettings(Address(every_task.grpc_url, "grpc"))) as bare:
        assert {"mood", "vectors", "near"} <= {each["id"] for each in bare.get("/v1/models").body["data"]}
        said = bare.post("/v1/embeddings", {"model": "vectors", "input": "금리"})
        assert (said.status, said.body["usage"]) == (200, None)
        for name, item in ITEMS.items():
            assert bare.post(f"/models/{name}", item).status == 200, name
        refused = bare.post("/tokenize", {"inputs": "a", "model": "vectors"})
        assert (refused.status, "start the gateway with -r REPOSITORY" in refused.body["error"]) == (501, True)
        refused = bare.post("/predict", {"inputs": "a"})
        assert "several models do text-classification: mood, topics" in refused.body["error"]


BAD: list[tuple[str, Any, int, str]] = [
    ("/v1/embeddings", b"[1", 400, "the body is no JSON"),
    ("/v1/embeddings", b'{"model": "vectors", "input": "\\ud800"}', 400, "the body is no JSON"),
    ("/v1/embeddings", b"\xff", 400, "the body is no JSON"),
    ("/v1/embeddings", b"[" * 100_000, 400, "the body is no JSON"),
    ("/v1/embeddings", [], 400, "the body is no JSON object"),
    ("/v1/embeddings", {"model": "vectors", "input": 3}, 400, "input takes a text, or a list of texts"),
    ("/v1/embeddings", {"model": "vectors", "input": []}, 400, "there is no text in it"),
    ("/v1/embeddings", {"model": "vectors", "input": ["a", None]}, 400, "input takes a text, or a list of texts"),
    ("/v1/embeddings", {"model": "vectors", "input": [1, 2]}, 400, "token ids are those of one tokenizer; send texts"),
    ("/v1/embeddings", {"model": "vectors"}, 400, "input: Field required"),
    ("/embed", {"inputs": [1, 2]}, 400, "inputs takes a text, or a list of texts"),
    ("/embed", {"inputs": "a", "truncation_direction": "Left"}, 400, "truncation_direction: Input should be 'Right'"),
    ("/similarity", {"inputs": {"source_sentence": "a", "sentences": []}}, 400, "inputs.sentences: List should have"),
    ("/models/mood", {"inputs": "a", "parameters": {"top_k": 0}}, 400, "top_k takes a whole number from 1 on"),
    ("/v1/embeddings", {"model": "vectors", "input": "a", "encoding_format": "hex"}, 400, "encoding_format"),
    ("/v1/embeddings", {"model": "vectors", "input": "a", "prompt_name": "x"}, 400, "prompt_name takes one of query"),
    ("/rerank", {"query": "a", "texts": []}, 400, "texts takes a list of texts, not empty"),
    ("/rerank", {"query": "a", "texts": ["b"] * 1001}, 400, "texts has 1001 entries"),
    ("/rerank", {"query": "a", "documents": ["b"], "top_n": 0}, 400, "top_n"),
    ("/rerank", {"query": "a", "documents": [3]}, 400, "documents takes a list of texts, or of objects with `text`"),
    ("/models/mood", {}, 400, "no 'input_text' in it; model 'mood' takes input_text"),
    ("/models/mood", {"input_text": 3}, 400, "input_text takes a text"),
    ("/models/mood", {"input_text": ["a"]}, 400, "input_text takes a text"),
    ("/models/mood", {"input_text": "a", "text": "b"}, 400, "no field 'text'. Fields: input_text, items"),
    ("/models/mood", {"input_text": "a", "parameters": {"speed": 1}}, 400, "no parameter 'speed'"),
    ("/models/mood", {"input_text": "a", "parameters": {"top_k": {}}}, 400, "parameter top_k takes a text, a number"),
    (
        "/models/mood",
        {"input_text": "a", "parameters": {"top_k": 2**63}},
        400,
        "parameter top_k takes a text, a number",
    ),
    ("/models/mood", {"input_text": "a", "parameters": {"priority": 1}}, 400, "reserved parameter"),
    ("/models/mood", {"input_text": "a", "parameters": 3}, 400, "parameters takes a JSON value of type object"),
    ("/models/mood", {"items": [3]}, 400, "items takes a list of JSON objects"),
    ("/models/mood", {"items": []}, 400, "there is no text in it"),
    ("/models/mood", {"items": [], "input_text": "a"}, 400, "input_text stands beside items"),
    ("/models/answers", {"inputs": {"question": "q"}}, 400, "context"),
    ("/models/names", {"inputs": 3}, 400, "input_text takes a text"),
    ("/models/ranks", {"inputs": "a"}, 400, "rerank has no pipeline; name its inputs: query, texts"),
    ("/models/any_label", {"inputs": "a"}, 400, "candidate_labels takes a list of texts"),
    (
        "/models/mood",
        {"inputs": "a", "parameters": {"function_to_apply": "relu"}},
        400,
        "function_to_apply takes one of none, softmax, sigmoid",
    ),
    ("/models/nope", {"input_text": "a"}, 404, "no ready model 'nope'"),
    ("/tokenize", {"inputs": "a", "model": "vectors", "prompt_name": "x"}, 400, "no prompt 'x'. Prompts: query"),
    ("/predict", {"inputs": []}, 400, "there is no text in it"),
    ("/nope", {}, 404, "the endpoints are listed at /docs"),
]


@pytest.mark.parametrize(("path", "body", "status", "sentence"), BAD)
def test_mistakes_are_refused_in_one_sentence(gateway: Asked, path: str, body: Any, status: int, sentence: str) -> None:
    said = gateway.post(path, body)
    error = said.body["error"]
    message = error["message"] if isinstance(error, dict) else error
    assert (said.status, sentence in message) == (status, True), said
