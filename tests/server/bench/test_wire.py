"""Requests and answers of the load generator, byte by byte."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tritonclient.grpc.service_pb2 import ModelInferRequest, ModelInferResponse

from tbgen.server.bench.answers import Checker, difference
from tbgen.server.bench.http_load import Head, head_from_bytes
from tbgen.server.bench.wire import (
    error_from_http,
    frame_texts,
    grpc_request,
    http_request,
    tensors_from_grpc,
    tensors_from_http,
)

TEXTS = np.array([["떡상".encode()], [b""]], dtype=object)
FRAMED = b"\x06\x00\x00\x00\xeb\x96\xa1\xec\x83\x81\x00\x00\x00\x00"


def test_texts_are_framed_by_their_length_in_bytes() -> None:
    assert frame_texts(TEXTS) == FRAMED


def test_an_http_request_is_a_whole_message() -> None:
    raw = http_request("kcbert", {"input_text": TEXTS}, "localhost:8000")
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.decode("ascii").split("\r\n")
    json_size = int(lines[3].removeprefix("Inference-Header-Content-Length: "))
    assert lines[:2] == ["POST /v2/models/kcbert/infer HTTP/1.1", "Host: localhost:8000"]
    assert lines[4] == f"Content-Length: {len(body)}"
    assert body[json_size:] == FRAMED
    assert json.loads(body[:json_size])["inputs"] == [
        {"name": "input_text", "shape": [2, 1], "datatype": "BYTES", "parameters": {"binary_data_size": 14}}
    ]


def test_a_grpc_request_is_a_message() -> None:
    message = ModelInferRequest.FromString(grpc_request("kcbert", {"input_text": TEXTS}, ""))
    assert (message.model_name, list(message.inputs[0].shape)) == ("kcbert", [2, 1])
    assert list(message.raw_input_contents) == [FRAMED]


def test_answers_are_read() -> None:
    outputs = [
        {"name": "score", "datatype": "FP32", "shape": [1, 1], "parameters": {"binary_data_size": 4}},
        {"name": "label", "datatype": "BYTES", "shape": [1, 1], "parameters": {"binary_data_size": 10}},
    ]
    head = json.dumps({"outputs": outputs}).encode("utf-8")
    score, label = np.float32(0.5).tobytes(), b"\x06\x00\x00\x00" + "떡상".encode()
    over_http = tensors_from_http(head + score + label, len(head))
    response = ModelInferResponse(raw_output_contents=[score, label])
    for output in outputs:
        response.outputs.add(name=output["name"], datatype=output["datatype"], shape=output["shape"])
    for tensors in (over_http, tensors_from_grpc(response.SerializeToString())):
        assert tensors["score"].tolist() == [[0.5]]
        assert tensors["label"].tolist() == [["떡상".encode()]]


def test_a_response_head_says_status_and_sizes() -> None:
    raw = b"HTTP/1.1 200 OK\r\nInference-Header-Content-Length: 416\r\ncontent-length: 446\r\n\r\n"
    assert head_from_bytes(raw) == Head(200, 446, 416)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [(b'{"error":"no such model"}', "HTTP 400: no such model"), (b"<html>", "HTTP 400: <html>"), (b"", "HTTP 400: ")],
)
def test_an_error_is_said_in_the_servers_words(body: bytes, sentence: str) -> None:
    assert error_from_http(400, body) == sentence


ROW = {"score": np.array([[0.25]], np.float32), "label": np.array([[b"up"]], object)}


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ({}, None),
        ({"score": np.array([[0.2502]], np.float32)}, None),
        ({"score": np.array([[0.5]], np.float32)}, "score: off by 0.25"),
        ({"label": np.array([[b"down"]], object)}, "label: down instead of up"),
        ({"score": np.zeros((2, 1), np.float32)}, "score: shape [2, 1] instead of [1, 1]"),
        ({"extra": np.zeros(1)}, "outputs extra in one answer only"),
    ],
)
def test_a_changed_answer_is_named(answer: dict[str, np.ndarray], found: str | None) -> None:
    assert difference(ROW, ROW | answer, 1e-3) == found


def test_bytes_that_cannot_be_read_are_a_changed_answer() -> None:
    checker = Checker("http", [ROW], 1e-3)
    assert checker.difference(0, b"{}", 2) == "unreadable answer: 'outputs'"
