"""Bodies that no client should send: each is answered, or refused with a status of 4xx, in JSON without NaN."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import pytest

from tests.faults.damage import json_damage
from tests.faults.wire import is_json
from tests.server.gateway.running import Asked
from tests.server.gateway.test_endpoints import ITEMS, TEXTS

BODIES: list[tuple[str, dict[str, Any]]] = [
    ("/", {"inputs": "금리", "model": "mood", "parameters": {"top_k": 2}}),
    ("/v1/embeddings", {"model": "vectors", "input": TEXTS, "dimensions": 8, "encoding_format": "base64", "user": "x"}),
    ("/rerank", {"query": "금리", "texts": TEXTS, "raw_scores": True, "return_text": True, "truncate": True}),
    ("/v1/rerank", {"query": "금리", "documents": [*TEXTS, {"text": "x"}], "top_n": 2, "return_documents": True}),
    ("/embed", {"inputs": TEXTS, "normalize": True, "truncate": True, "prompt_name": "query", "dimensions": 8}),
    ("/embed_sparse", {"inputs": TEXTS, "truncate": True}),
    ("/predict", {"inputs": [["금리"], ["비"]], "raw_scores": True, "truncate": True, "model": "mood"}),
    ("/similarity", {"inputs": {"source_sentence": "금리", "sentences": TEXTS}, "parameters": {"truncate": True}}),
    ("/tokenize", {"inputs": TEXTS, "add_special_tokens": True, "model": "mood"}),
    *((f"/models/{name}", item | {"parameters": {}, "tokens": True}) for name, item in ITEMS.items()),
    *((f"/models/{name}", {"items": [item, item]}) for name, item in ITEMS.items()),
    ("/models/mood", {"inputs": TEXTS, "parameters": {"top_k": 2, "function_to_apply": "none"}}),
    ("/models/names", {"inputs": TEXTS, "parameters": {"aggregation_strategy": "none"}}),
    ("/models/answers", {"inputs": ITEMS["answers"], "parameters": {"top_k": 2, "handle_impossible_answer": True}}),
    ("/models/masks", {"inputs": "[MASK] 상한가", "parameters": {"targets": ["금", "리"], "top_k": 2}}),
    ("/models/any_label", {"inputs": "금리", "parameters": {"candidate_labels": ["가", "나"], "multi_label": True}}),
    ("/models/near", {"inputs": {"source_sentence": "금리", "sentences": TEXTS}}),
]
FINE = {200, 501, 503, *range(400, 500)}


@pytest.mark.parametrize("count", [400, pytest.param(20_000, marks=pytest.mark.soak)])
def test_whatever_a_body_holds(gateway: Asked, count: int) -> None:
    statuses, wrong = Counter[int](), []
    for number in range(count):
        chance = random.Random(f"gateway {number}")
        path, body = chance.choice(BODIES)
        data = json_damage(json.dumps(body).encode(), chance)
        answer = gateway.send("POST", path, data, {"content-type": "application/json"})
        statuses[answer.status] += 1
        if answer.status not in FINE or not is_json(json.dumps(answer.body)):
            wrong.append((path, data[:300], answer.status, answer.body))
    print(f"\n{count} bodies: {dict(sorted(statuses.items()))}")
    assert wrong == []
    assert statuses[200] > count / 20


@pytest.mark.parametrize(
    ("path", "body", "sentence"),
    [
        ("/", {"model": 5, "inputs": "금리"}, "model takes the name of a model"),
        ("/", {"model": {"a": 1}, "inputs": "금리"}, "model takes the name of a model"),
        ("/models/mood", {"inputs": "금리", "parameters": {"top_k": -1}}, "top_k takes a whole number from 1 on"),
        ("/", {"model": "x" * 4_000_000, "inputs": "금리"}, "no ready model"),
        ("/models/mood", {"inputs": "금리", "parameters": {"top_k": True}}, "top_k takes a whole number from 1 on"),
    ],
)
def test_values_of_another_kind_are_400(gateway: Asked, path: str, body: Any, sentence: str) -> None:
    answer = gateway.post(path, body)
    assert answer.status in (400, 404)
    assert answer.body["error"].startswith(sentence)


@pytest.mark.parametrize("texts", ["a " * 600_000, ["\ufdfa" * 10] * 2000 + ["\ufdfa" * 40_000]])
def test_the_tokens_of_more_text_than_memory_is_there_for_are_not_listed(gateway: Asked, texts: Any) -> None:
    answer = gateway.post("/tokenize", {"inputs": texts, "model": "mood"})
    assert answer.status == 413
    assert answer.body["error"].endswith("characters in all; the tokens of at most 1000000 are listed")
    assert len(gateway.post("/tokenize", {"inputs": "a " * 10_000, "model": "mood"}).body[0]) == 10_002
