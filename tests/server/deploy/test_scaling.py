"""The queries by which servers are scaled, put to the real Prometheus' promtool."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.server.deploy.fleets import IMAGE, of_kind, written
from tests.tools import tool

# What two servers count each second: microseconds in the queues of their models, and answers.
SERIES = {
    'nv_inference_queue_duration_us{pod="kcbert-a",model="kcbert_onnx"}': 80_000,
    'nv_inference_queue_duration_us{pod="kcbert-a",model="kcbert_onnx_bls"}': 40_000,
    'nv_inference_request_success{pod="kcbert-a",model="kcbert_onnx_bls"}': 1,
    'nv_inference_request_success{pod="kcbert-a",model="kcbert_onnx_ensemble"}': 1,
    'nv_inference_request_success{pod="kcbert-a",model="kcbert_onnx"}': 7,  # no answer to a client
    'nv_inference_queue_duration_us{pod="kcbert-b",model="kcbert_onnx"}': 40_000,
    'nv_inference_request_success{pod="kcbert-b",model="kcbert_onnx_bls"}': 2,
    'nv_inference_queue_duration_us{pod="kcbert-canary-7d9f-x1",model="kcbert_onnx"}': 9_000_000,
    'nv_inference_request_success{pod="kcbert-canary-7d9f-x1",model="kcbert_onnx_bls"}': 1,
    'nv_inference_queue_duration_us{pod="other-a",model="kcbert_onnx"}': 9_000_000,
    'nv_inference_request_success{pod="other-a",model="kcbert_onnx_bls"}': 1,
}
INTERVAL = 15  # seconds


def evaluate(folder: Path, query: str, expected: list[dict[str, Any]], series: dict[str, int] = SERIES) -> None:
    """Fail unless a query gives these samples."""
    tests = {
        "evaluation_interval": f"{INTERVAL}s",
        "tests": [
            {
                "interval": f"{INTERVAL}s",
                "input_series": [
                    {"series": name, "values": f"0+{INTERVAL * each}x40"} for name, each in series.items()
                ],
                "promql_expr_test": [{"expr": query, "eval_time": "10m", "exp_samples": expected}],
            }
        ],
    }
    (folder / "tests.yaml").write_text(yaml.safe_dump(tests), encoding="utf-8")
    done = subprocess.run(
        [tool("promtool"), "test", "rules", folder / "tests.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_keda_sees_the_mean_wait_of_its_fleet_in_milliseconds(sample_repository: Path, tmp_path: Path) -> None:
    folder = written("kubernetes", sample_repository, tmp_path / "kcbert", *IMAGE, "--autoscaler", "keda")
    query = of_kind(folder, "ScaledObject")["spec"]["triggers"][0]["metadata"]["query"]
    evaluate(tmp_path, query, [{"labels": "{}", "value": 40}])  # 160 ms in queues each second, 4 answers


def test_where_nobody_asks_there_is_nothing_to_scale_by(sample_repository: Path, tmp_path: Path) -> None:
    folder = written("kubernetes", sample_repository, tmp_path / "kcbert", *IMAGE, "--autoscaler", "keda")
    query = of_kind(folder, "ScaledObject")["spec"]["triggers"][0]["metadata"]["query"]
    evaluate(tmp_path, query, [], dict.fromkeys(SERIES, 0))


def test_the_adapter_gives_the_hpa_the_wait_of_each_pod(sample_repository: Path, tmp_path: Path) -> None:
    folder = written("kubernetes", sample_repository, tmp_path / "kcbert", *IMAGE, "--autoscaler", "hpa")
    rule = yaml.safe_load((folder / "prometheus-adapter.yaml").read_text(encoding="utf-8"))["rules"][0]
    query = rule["metricsQuery"].replace("<<.LabelMatchers>>", 'pod=~"kcbert-a|kcbert-b"')
    query = query.replace("<<.GroupBy>>", "pod")
    waits = [{"labels": '{pod="kcbert-a"}', "value": 60}, {"labels": '{pod="kcbert-b"}', "value": 20}]
    evaluate(tmp_path, query, waits)
    metric = of_kind(folder, "HorizontalPodAutoscaler")["spec"]["metrics"][0]["pods"]["metric"]["name"]
    assert metric == rule["name"]["as"]
    with pytest.raises(AssertionError):
        evaluate(tmp_path, query, waits[:1])
