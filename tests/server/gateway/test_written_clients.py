"""Written clients of every task, in each language, with odd values: what they print is what Triton answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tbgen.server.client.client import as_text
from tbgen.server.client.connection import Connection
from tbgen.server.client.items import tensors_from_item
from tbgen.server.embedded.server import EmbeddedServer
from tests.server.gateway.conftest import MODELS
from tests.triton.test_clients import LANGUAGES, run_client

pytestmark = pytest.mark.long
ODD = [
    'a "quoted" \\ text \\n',
    "줄\n바꿈\r\n\t탭",
    "👨‍👩‍👧 e\u0301 각 \u2028 \x7f",
    "",
    "--url",
    "-",
    "--",
    "$HOME `id` $(id) ${x} !! %s",
    "</script>&amp;'",
    "가나다 " * 8_000,
]
# What is sent beside an odd text, as the second input.
BESIDE: dict[str, Any] = {"answers": "20일에 열린다. " * 3, "ranks": ODD, "near": ODD, "any_label": ODD[:2]}


def items_of(name: str) -> list[dict[str, Any]]:
    """Items of a model with odd texts."""
    if name == "answers":
        return [{"question": f"{text[:5]}?", "context": f"{text[:2000]} {BESIDE[name]}"} for text in ODD]
    if name in ("ranks", "near"):
        return [{"query": text, "texts": BESIDE[name]} for text in ODD]
    if name == "any_label":
        return [{"input_text": text, "candidate_labels": BESIDE[name]} for text in ODD]
    return [{"input_text": f"[MASK] {text}" if name == "masks" else text} for text in ODD]


def wanted(server: EmbeddedServer, model: str, item: dict[str, Any]) -> dict[str, Any]:
    """Triton's answer, each output as one list."""
    with Connection(f"grpc://{server.grpc_url}") as connection:
        tensors = connection.infer(model, tensors_from_item(connection.config(model), item))
    return {name: pytest.approx(flat(as_text(array).tolist()), abs=1e-5) for name, array in tensors.items()}


def flat(value: Any) -> list[Any]:
    return [each for part in value for each in flat(part)] if isinstance(value, list) else [value]


def said(line: str) -> dict[str, Any]:
    """What a client has printed of an item, likewise; curl and Go print the server's JSON."""
    answer = json.loads(line)
    raw = {row["name"]: row["data"] for row in answer["outputs"]} if "model_version" in answer else answer
    return {name: flat(value) for name, value in raw.items()}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", MODELS)
def test_odd_values_of_every_task_are_answered(
    every_task: EmbeddedServer, tmp_path: Path, name: str, language: str
) -> None:
    model, items = f"{name}_onnx_bls", items_of(name)
    single = all(item.keys() == {"input_text"} for item in items)
    asked = [flat([*item.values()]) for item in items]
    lines = []
    for number, values in enumerate([flat(asked)] if single else asked):
        (tmp_path / str(number)).mkdir()
        done = run_client(every_task, model, language, tmp_path / str(number), "--", *values)
        assert done.returncode == 0, done.stderr[-2000:]
        lines += done.stdout.splitlines()
    assert [said(line) for line in lines] == [wanted(every_task, model, item) for item in items]
