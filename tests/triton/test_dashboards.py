"""What `tbgen deploy dashboards` writes (observe.md) on a real run: a Triton that is asked, and Debian's Prometheus."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.export.errors import UserError
from tbgen.server.client.connection import Connection
from tbgen.server.embedded.server import EmbeddedServer
from tbgen.server.embedded.stubs import Stubs
from tests.prometheus import NEEDS_PROMETHEUS, Prometheus, Series, prometheus
from tests.server.deploy.fleets import IMAGE, of_kind, written
from tests.serving import serving
from tests.tools import tool
from tests.waiting import wait_until

pytestmark = NEEDS_PROMETHEUS
LONG = "반등 기대 " * 200
TEXTS = ("오늘도 상한가 갔다 🔥", "또 물렸네", "", LONG, "금리 동결")
FRONTS = {  # model: the models of its tokenizer and of its head
    "kcbert_onnx_bls": ("kcbert_onnx_bls", "kcbert_onnx_bls"),
    "kcbert_onnx_ensemble": ("kcbert_tokenizer", "kcbert_postprocess"),
}
# The written files, for a test that does not wait: windows and pauses in seconds.
FASTER = {"15s": "1s", "interval: 1m": "interval: 1s", "[1m]": "[4s]"}
# What Prometheus' operator says of a pod, beside what a server says of itself.
NAMESPACE, POD = "shop", "kcbert-7d9f8c-x2x4z"
IN_CLUSTER = f"- labels: {{namespace: {NAMESPACE}, pod: {POD}}}\n        targets:"
# How the Prometheus adapter fills in a query: Go's own templates.
FILLED_IN = """package main

import (
	"os"
	"text/template"
)

func main() {
	query := template.Must(template.New("").Option("missingkey=error").Delims("<<", ">>").Parse(os.Args[1]))
	values := map[string]string{"LabelMatchers": os.Args[2], "GroupBy": os.Args[3]}
	if err := query.Execute(os.Stdout, values); err != nil {
		panic(err)
	}
}
"""
ELSEWHERE = {"GPUs"}  # there is none here


@dataclass
class Watched:
    """A server, a Prometheus that watches it, and what a client has counted."""

    server: EmbeddedServer
    prometheus: Prometheus
    folder: Path
    labels: dict[str, Counter[str]] = field(default_factory=dict)

    def ask(self, model: str, *texts: bytes) -> Counter[str]:
        """One request; the labels of its answers."""
        with Connection(f"http://{self.server.http_url}") as connection:
            answer = connection.infer(model, {"input_text": np.array([[text] for text in texts], dtype=object)})
        return Counter(label.decode() for label in answer["label"][:, 0])

    def fails(self, model: str, text: bytes) -> bool:
        try:
            self.ask(model, text)
        except UserError:
            return True
        return False


@pytest.fixture(scope="module")
def watched(sample_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Each front asked each text three times in one request, and one that is no UTF-8."""
    folder = tmp_path_factory.mktemp("watched")
    with ExitStack() as stack:
        server = stack.enter_context(serving(sample_repository, log=folder / "triton.log"))
        words = ["deploy", "dashboards", "-o", str(folder / "watch"), "--server", server.url("metrics")]
        assert CliRunner().invoke(main, words).exit_code == 0
        for name in ("prometheus.yml", "rules.yml"):
            text = (folder / "watch" / name).read_text(encoding="utf-8")
            for slow, fast in FASTER.items():
                text = text.replace(slow, fast)
            (folder / "watch" / name).write_text(text.replace("- targets:", IN_CLUSTER), encoding="utf-8")
        asked = stack.enter_context(prometheus(folder / "watch" / "prometheus.yml", folder / "data"))
        watched = Watched(server, asked, folder)
        wait_until(lambda: asked.values("up", "job") == {("triton",): 1})
        wait_until(lambda: bool(asked.values("tbgen_step_seconds")))  # before the first request, so that rates see it
        for front in FRONTS:
            counted = (watched.ask(front, *[text.encode()] * 3) for text in TEXTS)
            watched.labels[front] = sum(counted, Counter())
            assert watched.fails(front, b"\xff")
        yield watched


def test_prometheus_counts_what_the_client_counted(watched: Watched) -> None:
    counted = watched.prometheus.values

    def comes(query: str, label: str, values: Series) -> None:
        """Wait until Prometheus has read what was counted, each counter by itself."""
        wait_until(lambda: counted(query, label) == values)

    for front, (tokenizer, head) in FRONTS.items():
        labels = {(label,): float(count) for label, count in watched.labels[front].items()}
        comes(f'tbgen_step_count{{model="{head}",count="labels"}} > 0', "kind", labels)
        texts = f'tbgen_step_count{{model="{tokenizer}",count=~"texts|truncated"}}'
        comes(texts, "count", {("texts",): 3 * len(TEXTS), ("truncated",): 3})
        comes(f'tbgen_step_count{{model="{tokenizer}",count="errors"}}', "kind", {("INVALID_ARG",): 1})
    ensemble = 'nv_inference_request_success{model="kcbert_onnx_ensemble"}'
    comes(ensemble, "model", {("kcbert_onnx_ensemble",): len(TEXTS)})
    tokens = 'sum by (count) (tbgen_step_count{model="kcbert_onnx_bls",count=~".*tokens"}) > 0'
    wait_until(lambda: len({*counted(tokens, "count").values()}) == 1)  # texts of one length, in the packed layout
    of_the_ensemble = (
        'nv_inference_request_success{model="kcbert_onnx"} - on () '
        'sum(tbgen_step_count{model="kcbert_onnx_bls",count="calls"})'
    )
    comes(of_the_ensemble, "", {("",): len(TEXTS)})


def test_each_graph_of_the_dashboard_has_data(watched: Watched) -> None:
    panels = json.loads((watched.folder / "watch" / "dashboard.json").read_text(encoding="utf-8"))["panels"]
    queries = {
        (panel["title"], target["legendFormat"]): target["expr"] for panel in panels for target in panel["targets"]
    }
    for (title, legend), query in queries.items():
        query = query.replace("$model", ".+").replace("$__rate_interval", "1m")
        if title in ELSEWHERE:
            watched.prometheus.values(query)
        else:
            wait_until(lambda query=query: bool(watched.prometheus.values(query)))
        labels = re.findall(r"{{(\w+)}}", legend)
        assert all(all(names) for names in watched.prometheus.values(query, *labels))


def filled_in(rule: dict[str, Any], pods: str, folder: Path) -> str:
    """The query of a rule of the Prometheus adapter's, for pods of the namespace."""
    (folder / "filled_in.go").write_text(FILLED_IN, encoding="utf-8")
    words = [tool("go"), "run", folder / "filled_in.go", rule["metricsQuery"], f'namespace="{NAMESPACE}",{pods}', "pod"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@dataclass
class Counters:
    """What counters of Triton's grew by, as far as Prometheus has seen them, from the samples themselves."""

    prometheus: Prometheus

    def growth(self, name: str, now: str) -> float:
        rows = self.prometheus.api("query", query=f"{name}[2m]", time=now)["result"]
        return sum(float(row["values"][-1][1]) - float(row["values"][0][1]) for row in rows)


def test_autoscalers_are_told_what_the_counters_say(watched: Watched, sample_repository: Path, tmp_path: Path) -> None:
    """The adapter's query as it is filled in, and KEDA's: milliseconds in queues for each answer of a front model."""
    hpa = written("kubernetes", sample_repository, tmp_path / "hpa", *IMAGE, "--autoscaler", "hpa")
    keda = written("kubernetes", sample_repository, tmp_path / "keda", *IMAGE, "--autoscaler", "keda")
    (rule,) = yaml.safe_load((hpa / "prometheus-adapter.yaml").read_text(encoding="utf-8"))["rules"]
    found = watched.prometheus.api("series", **{"match[]": rule["seriesQuery"]})
    assert {(each["namespace"], each["pod"]) for each in found} == {(NAMESPACE, POD)}
    queries = {
        "one pod": filled_in(rule, f'pod="{POD}"', tmp_path),
        "several": filled_in(rule, f'pod=~"{POD}|kcbert-7d9f8c-other"', tmp_path),
        "KEDA": of_kind(keda, "ScaledObject")["spec"]["triggers"][0]["metadata"]["query"],
    }
    for front in FRONTS:
        for text in TEXTS:
            watched.ask(front, text.encode())
    for query in queries.values():
        wait_until(lambda query=query: bool(watched.prometheus.values(query)))
    now, counters = str(time.time()), Counters(watched.prometheus)
    answers = sum(counters.growth(f'nv_inference_request_success{{model="{front}"}}', now) for front in FRONTS)
    wait = counters.growth("nv_inference_queue_duration_us", now) / 1000 / answers
    for name, query in queries.items():
        (row,) = watched.prometheus.api("query", query=query, time=now)["result"]
        assert row["metric"] == ({} if name == "KEDA" else {"pod": POD})
        assert float(row["value"][1]) == pytest.approx(wait, rel=0.2)  # a rate reckons with what it has not seen


def test_each_rule_is_evaluated(watched: Watched) -> None:
    def rules() -> dict[str, str]:
        groups = watched.prometheus.api("rules")["groups"]
        return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}

    wait_until(lambda: "unknown" not in rules().values())
    assert set(rules().values()) == {"ok"}


def test_an_alert_fires_when_a_models_process_is_killed(watched: Watched) -> None:
    assert ("TritonDeadStub", "kcbert_tokenizer") not in watched.prometheus.firing()
    assert watched.server.process is not None
    stubs = Stubs(watched.server.process.pid)
    stubs.look()
    (process,) = (each for each, folder in stubs.running.items() if folder.parent.name == "kcbert_tokenizer")
    os.kill(process, signal.SIGKILL)
    dead = {("TritonDeadStub", "kcbert_tokenizer")}
    wait_until(lambda: watched.fails("kcbert_onnx_ensemble", TEXTS[0].encode()) and dead <= watched.prometheus.firing())
    assert {model for name, model in watched.prometheus.firing() if name == "TritonDeadStub"} == {"kcbert_tokenizer"}
    assert not watched.fails("kcbert_onnx_bls", TEXTS[0].encode())
    reasons = watched.prometheus.values("nv_inference_request_failure > 0", "model", "reason").keys()
    assert reasons == {("kcbert_onnx_ensemble", "OTHER"), ("kcbert_tokenizer", "BACKEND")}
