"""Traces of requests through each graph, as a collector gets them: one tree a request."""

from __future__ import annotations

import http.client
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tbgen.export.errors import UserError
from tbgen.generator.scaffold import Request, scaffold
from tbgen.server.embedded.traces import trace_arguments
from tests.otlp import Collector, collector
from tests.serving import serving
from tests.waiting import wait_until

TEXTS = ["오늘도 상한가 갔다 🔥", "", "반등 기대 " * 200]  # so unlike in length that a BLS model calls its engine twice
# A front model, and the spans below that of the request: of the models that it runs, and of what computes.
TREES = {
    "kcbert_onnx_ensemble": Counter(kcbert_tokenizer=1, kcbert_onnx=1, kcbert_postprocess=1, compute=3),
    "kcbert_onnx_bls": Counter(kcbert_onnx=2, compute=3),
    "kcbert_onnx_single": Counter(compute=1),
}
SENDER = "00f067aa0ba902b7"  # the span of who sends a request


@pytest.fixture(scope="module")
def traced(packed_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Collector]]:
    """HOST:PORT of a server with each graph of the sample, and the collector that it sends its traces to."""
    folder = tmp_path_factory.mktemp("traced")
    for graph in ("both", "single"):
        scaffold(Request("kcbert", packed_export, graph=graph), folder / "models", comparing=False)
    with collector() as collected:
        quick = "--trace-config=opentelemetry,bsp_schedule_delay=100"  # milliseconds until spans are sent
        arguments = (*trace_arguments(collected.url), quick)
        with serving(folder / "models", log=folder / "triton.log", extra_arguments=arguments) as server:
            yield server.http_url, collected


def ask(place: str, model: str, trace: str) -> None:
    """One request of three texts, as a part of a trace."""
    tensor = {"name": "input_text", "shape": [len(TEXTS), 1], "datatype": "BYTES", "data": TEXTS}
    connection = http.client.HTTPConnection(place)
    headers = {"traceparent": f"00-{trace}-{SENDER}-01"}
    connection.request("POST", f"/v2/models/{model}/infer", json.dumps({"inputs": [tensor]}), headers)
    assert connection.getresponse().status == 200
    connection.close()


@pytest.mark.parametrize("model", TREES)
def test_a_request_is_one_tree(model: str, traced: tuple[str, Collector]) -> None:
    place, collected = traced
    trace = f"{[*TREES].index(model) + 1:032x}"
    ask(place, model, trace)
    names = TREES[model] + Counter({"InferRequest": 1, model: 1})
    wait_until(lambda: Counter(span["name"] for span in collected.of_trace(trace)) == names)
    spans = {span["spanId"]: span for span in collected.of_trace(trace)}
    (root,) = (span for span in spans.values() if span["parentSpanId"] not in spans)
    assert (root["name"], root["parentSpanId"]) == ("InferRequest", SENDER)
    (front,) = (span for span in spans.values() if span["name"] == model)
    assert front["parentSpanId"] == root["spanId"]
    parts = [span for span in spans.values() if span["name"] in TREES[model] and span["name"] != "compute"]
    assert {span["parentSpanId"] for span in parts} <= {front["spanId"]}
    for span in spans.values():
        assert int(root["startTimeUnixNano"]) <= int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])


@pytest.mark.parametrize("address", ["localhost:4318", "http://", "http://a b", "http://a,rate=0"])
def test_what_is_no_collector_is_said(address: str) -> None:
    with pytest.raises(UserError, match="is no address of a collector; write it as http://localhost:4318"):
        trace_arguments(address)
