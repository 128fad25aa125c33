"""The chart of `tbgen deploy helm`, rendered by the real helm."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.server.deploy.fleets import IMAGE, documents, written
from tests.tools import tool


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([tool("helm"), *arguments], capture_output=True, text=True, check=False)


def rendered(chart: Path, *arguments: str) -> list[dict[str, Any]]:
    """The objects of a chart."""
    done = helm("template", "kcbert", chart, *arguments)
    assert done.returncode == 0, done.stderr
    return sorted(yaml.safe_load_all(done.stdout), key=_name)


@pytest.fixture(scope="module")
def chart(sample_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart of the sample in an image."""
    return written("helm", sample_repository, tmp_path_factory.mktemp("helm") / "chart", *IMAGE)


def _name(document: dict[str, Any]) -> tuple[str, str]:
    return document["kind"], document["metadata"]["name"]


@pytest.mark.parametrize(
    "arguments",
    [
        IMAGE,
        ("--models", "s3://models/nlp", "--autoscaler", "hpa"),
        ("--models", "pvc://models", "--autoscaler", "keda"),
        (*IMAGE, "--canary-of", "elder"),
    ],
    ids=["image", "bucket", "volume", "canary"],
)
def test_a_chart_renders_to_what_kubernetes_is_given(
    sample_repository: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    chart = written("helm", sample_repository, tmp_path / "chart", *arguments)
    plain = written("kubernetes", sample_repository, tmp_path / "plain", *arguments)
    assert rendered(chart) == sorted(documents(plain), key=_name)


def test_a_chart_has_nothing_for_lint_to_say(chart: Path) -> None:
    done = helm("lint", "--strict", chart)
    assert done.returncode == 0, done.stdout
    assert "[WARNING]" not in done.stdout


def test_values_change_what_they_say(chart: Path) -> None:
    values = ("--set", "image=ghcr.io/you/kcbert:2,autoscaler=keda,maxReplicas=5", "--set-string", "cpu=7")
    found = {each["kind"]: each for each in rendered(chart, *values)}
    server = found["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    assert server["image"] == "ghcr.io/you/kcbert:2"
    assert server["resources"]["requests"]["cpu"] == "7"
    assert "replicas" not in found["Deployment"]["spec"]
    assert found["ScaledObject"]["spec"]["maxReplicaCount"] == 5


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ("image=kcbert", "/image"),
        ("memory=3", "/memory"),
        ("replicas=0", "/replicas"),
        ("autoscaler=vpa", "/autoscaler"),
        ("gpus=1", "gpus"),
    ],
)
def test_values_that_are_none_are_refused(chart: Path, value: str, where: str) -> None:
    done = helm("template", "kcbert", chart, "--set", value)
    assert done.returncode != 0
    assert where in done.stderr


def test_each_value_is_said_with_its_meaning(chart: Path) -> None:
    values = yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8"))
    schema = json.loads((chart / "values.schema.json").read_text(encoding="utf-8"))
    assert schema["required"] == [*values]
    notes = helm("install", "--dry-run=client", "kcbert", chart).stdout
    assert "kcbert starts 2 servers of Triton with kcbert_onnx_bls, kcbert_onnx_ensemble" in notes
    assert "tbgen probe kcbert_onnx_bls kcbert_onnx_ensemble --url" in notes
