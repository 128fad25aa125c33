"""The chart of `tbgen deploy helm`, rendered by the real helm."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.server.deploy.fleets import IMAGE, built, configs, configs_named, deploy, written
from tests.tools import tool


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([tool("helm"), *arguments], capture_output=True, text=True, check=False)


def rendered(chart: Path, *arguments: str) -> list[dict[str, Any]]:
    """The objects of a chart."""
    done = helm("template", "kcbert", chart, *arguments)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def alike(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Objects without their namespace, which a chart alone knows, and the marks of files, which are made otherwise."""
    text = json.dumps(sorted(objects, key=lambda each: (each["kind"], each["metadata"]["name"])))
    text = text.replace('namespace=\\"default\\",', "")
    return list(json.loads(re.sub(r"(kcbert-(?:probe|edge))-[a-z0-9]{8,10}\b", r"\1", text)))


@pytest.fixture(scope="module")
def chart(sample_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart of the sample in an image."""
    return written("helm", sample_repository, tmp_path_factory.mktemp("helm") / "chart", *IMAGE)


def of_chart(chart: Path, kind: str) -> dict[str, Any]:
    """The first object of a kind of a chart."""
    return next(each for each in rendered(chart) if each["kind"] == kind)


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
    assert alike(rendered(chart)) == alike(built(plain))
    assert configs_named(of_chart(chart, "Deployment")["spec"]["template"]["spec"]) == {*configs(rendered(chart))}


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


def test_an_hpa_finds_the_rule_of_its_metric_beside_the_chart(sample_repository: Path, tmp_path: Path) -> None:
    chart = written("helm", sample_repository, tmp_path / "chart", *IMAGE, "--name", "shop-7", "--autoscaler", "hpa")
    (rule,) = yaml.safe_load((chart / "prometheus-adapter.yaml").read_text(encoding="utf-8"))["rules"]
    metric = of_chart(chart, "HorizontalPodAutoscaler")["spec"]["metrics"][0]["pods"]["metric"]["name"]
    assert metric == rule["name"]["as"] == "shop_7_queue_milliseconds"


def test_the_longest_name_is_one_that_helm_takes(sample_repository: Path, tmp_path: Path) -> None:
    chart = written("helm", sample_repository, tmp_path / "chart", *IMAGE, "--name", "k" * 53)
    assert helm("template", "k" * 53, chart).returncode == 0
    assert "at most 53" in deploy("helm", sample_repository, tmp_path / "none", *IMAGE, "--name", "k" * 54).output


def test_each_value_is_said_with_its_meaning(chart: Path) -> None:
    values = yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8"))
    schema = json.loads((chart / "values.schema.json").read_text(encoding="utf-8"))
    assert schema["required"] == [*values]
    notes = helm("install", "--dry-run=client", "kcbert", chart).stdout
    assert "kcbert starts 2 servers of Triton with kcbert_onnx_bls, kcbert_onnx_ensemble" in notes
    assert "tbgen probe kcbert_onnx_bls kcbert_onnx_ensemble --url" in notes
