"""A step whose answer to one text cannot be sent: that request fails, the others of the batch are answered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException

from tbgen.generator.scaffold import Request, scaffold
from tests.serving import serving
from tests.waiting import wait_until

HALVES = '''
"""Cuts each text between the halves of a surrogate pair when it holds an emoji."""

from pathlib import Path

import numpy as np


class Halves:
    inputs = {"input_text": ("TYPE_STRING", [1])}
    outputs = {"input_text": ("TYPE_STRING", [1]), "first": ("TYPE_STRING", [1])}

    def __init__(self, folder: Path) -> None: ...

    def __call__(self, input_text):
        first = [[text[:1].encode("utf-16-le")[:2].decode("utf-16-le", "surrogatepass")] for text in input_text[:, 0]]
        return {"input_text": input_text, "first": np.array(first, dtype=object)}
'''
TEXTS = ["좋다", "🔥 떡상", "나쁘다", "그저 그렇다"] * 8


def ask(client: grpc.InferenceServerClient, model: str, texts: list[str]) -> list[object]:
    """The answer, or the error, to each text, all asked at once."""
    answers: dict[int, object] = {}
    for number, text in enumerate(texts):
        tensor = grpc.InferInput("input_text", [1, 1], "BYTES")
        tensor.set_data_from_numpy(np.array([[text.encode()]], dtype=object))
        client.async_infer(
            model, [tensor], lambda result, error, number=number: answers.update({number: error or result})
        )
    wait_until(lambda: len(answers) == len(texts))
    return [answers[number] for number in range(len(texts))]


def test_an_answer_that_cannot_be_sent_fails_alone(sample_export: Path, tmp_path: Path) -> None:
    (tmp_path / "halves.py").write_text(HALVES, encoding="utf-8")
    pre = f"{tmp_path / 'halves.py'}:Halves"
    scaffold(Request("kcbert", sample_export, graph="bls", pre=(pre,)), tmp_path / "repository")
    with serving(tmp_path / "repository") as server, grpc.InferenceServerClient(server.grpc_url) as client:
        answers = ask(client, "kcbert_onnx_bls", TEXTS)
    failed = [text for text, each in zip(TEXTS, answers, strict=True) if isinstance(each, InferenceServerException)]
    assert failed == ["🔥 떡상"] * 8
    errors = {each.message() for each in answers if isinstance(each, InferenceServerException)}
    assert errors == {r"kcbert_onnx_bls: TypeError: a step gave '\ud83d', which is no text: surrogates not allowed"}
