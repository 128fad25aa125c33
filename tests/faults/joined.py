"""Requests that share a batch for certain, one of them bad: the batch closes at their number and waits for it."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import text_format
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tbgen.generator.models.config import config_from_text
from tbgen.server.embedded.server import EmbeddedServer
from tests.triton.held import pending
from tests.waiting import FOREVER, wait_until

JOINED = 64


def join_requests(model: Path) -> None:
    """Let a model's batches wait for so many requests, or for half of them where it takes no more."""
    file = model / "config.pbtxt"
    config = config_from_text(file.read_text(encoding="utf-8"))
    config.dynamic_batching.preferred_batch_size.append(JOINED if config.max_batch_size >= JOINED else JOINED // 2)
    config.dynamic_batching.max_queue_delay_microseconds = FOREVER * 1_000_000
    file.write_text(text_format.MessageToString(config, as_utf8=True), encoding="utf-8")


def text_request(model: str, text: bytes, *, rows: int = 1, **parameters: str | int | bool) -> Any:
    """A request with one text, whatever its shape says."""
    request = service_pb2.ModelInferRequest(model_name=model)
    request.inputs.add(name="input_text", datatype="BYTES", shape=[rows, 1])
    request.raw_input_contents.append(struct.pack("<I", len(text)) + text)
    for name, value in parameters.items():
        kind = {str: "string_param", bool: "bool_param", int: "int64_param"}[type(value)]
        setattr(request.parameters[name], kind, value)
    return request


def refusal_and_answers(server: EmbeddedServer, queue: str, bad: Any, good: list[Any]) -> tuple[Any, list[Any]]:
    """The error of a bad request (None: it has none) and the answers of the good ones, all in one batch of `queue`.

    Where Triton refuses the bad one before it queues, one of the good ones is sent twice.
    """
    with grpc.insecure_channel(server.grpc_url) as channel:
        infer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
        refused = infer.future(bad)
        wait_until(lambda: refused.done() or pending(server, queue) == 1)
        answers = [infer.future(each) for each in [*good, *good[: refused.done()]]]
        return refused.exception(FOREVER), [each.result(FOREVER) for each in answers][: len(good)]
