"""What `tbgen deploy kserve` writes, held against the types of KServe's own client, read out of its wheel."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import kubernetes_validate
import pytest

from tbgen.generator.scaffold import Request, scaffold
from tests.server.deploy.fleets import IMAGE, built, configs, configs_named, of_kind, written
from tests.tools import kserve_wheel

PLAIN = {"str": str, "int": int, "bool": bool, "object": object, "V1beta1MetricQuantity": str}


@cache
def fields_of(kind: str) -> dict[str, str]:
    """The fields of a class of KServe's as JSON names them, with their types."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", kind).lower()
    with ZipFile(kserve_wheel()) as wheel:
        tree = ast.parse(wheel.read(f"kserve/models/{snake}.py"))
    said = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Dict)
    }
    return {said["attribute_map"][name]: kind for name, kind in said["openapi_types"].items()}


def check(value: Any, kind: str, where: str) -> None:
    """Fail unless a value is of a type of KServe's; those of Kubernetes itself are held against its schemas."""
    if kind.startswith("list["):
        for number, each in enumerate(value):
            check(each, kind[5:-1], f"{where}[{number}]")
    elif kind.startswith("dict("):
        assert all(isinstance(each, str) for each in value.values()), where
    elif kind in PLAIN:
        assert isinstance(value, PLAIN[kind]), where
    elif re.match(r"V1(alpha|beta)", kind):
        known = fields_of(kind)
        for name, each in value.items():
            assert name in known, f"{where}.{name} is no field of {kind}"
            check(each, known[name], f"{where}.{name}")


def as_pod(folder: Path) -> dict[str, Any]:
    """The pod that KServe makes of a runtime and a service, as Kubernetes knows it."""
    runtime, service = (
        of_kind(folder, "ServingRuntime")["spec"],
        of_kind(folder, "InferenceService")["spec"]["predictor"],
    )
    own = {key: runtime[key] for key in ("containers", "volumes", "tolerations") if key in runtime}
    kept = fields_of("V1beta1PredictorSpec")
    kserves = {"model", "labels", "minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "autoScaling"}
    own |= {key: each for key, each in service.items() if key in kept and key not in kserves}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "kcbert"}, "spec": own}


@pytest.mark.parametrize(
    "arguments",
    [
        IMAGE,
        ("--models", "s3://models/nlp", "--autoscaler", "keda"),
        ("--models", "pvc://models/nlp", "--autoscaler", "hpa"),
    ],
    ids=["image", "bucket", "volume"],
)
def test_every_object_is_of_its_type(sample_repository: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    folder = written("kserve", sample_repository, tmp_path / "kcbert", *arguments)
    for each in built(folder):
        if each["apiVersion"].startswith("serving.kserve.io/"):
            version = each["apiVersion"].rpartition("/")[2]
            check(each, f"V1{version.removeprefix('v1')}{each['kind']}", each["kind"])
        else:
            kubernetes_validate.validate(each, "1.33", strict=True)
    kubernetes_validate.validate(as_pod(folder), "1.33", strict=True)


def test_a_field_that_there_is_not_is_found(sample_repository: Path, tmp_path: Path) -> None:
    folder = written("kserve", sample_repository, tmp_path / "kcbert", *IMAGE)
    service = of_kind(folder, "InferenceService")
    service["spec"]["predictor"]["model"]["storageUrl"] = "s3://models"
    with pytest.raises(AssertionError, match="storageUrl is no field of V1beta1ModelSpec"):
        check(service, "V1beta1InferenceService", "InferenceService")


def test_kserve_brings_the_models_of_a_bucket(sample_repository: Path, tmp_path: Path) -> None:
    folder = written("kserve", sample_repository, tmp_path / "kcbert", "--models", "gs://models/nlp")
    server = of_kind(folder, "ServingRuntime")["spec"]["containers"][0]
    assert server["name"] == "kserve-container"
    assert "--model-repository=/mnt/models" in server["args"]
    assert not any("poll" in each for each in server["args"])
    assert "| model control | none |" in (folder / "README.md").read_text(encoding="utf-8")
    assert of_kind(folder, "InferenceService")["spec"]["predictor"]["model"]["storageUri"] == "gs://models/nlp"


def test_a_store_of_ones_own_is_told_kserve_by_its_secret(sample_repository: Path, tmp_path: Path) -> None:
    """Whose annotations name the store; KServe takes s3://http://... for a bucket of the name http:."""
    place = ("--models", "s3://http://minio.storage:9000/models/nlp")
    folder = written("kserve", sample_repository, tmp_path / "kcbert", *place)
    assert of_kind(folder, "InferenceService")["spec"]["predictor"]["model"]["storageUri"] == "s3://models/nlp"
    assert of_kind(folder, "ServiceAccount")["secrets"] == [{"name": "kcbert-bucket"}]
    ports = [each["port"] for rule in of_kind(folder, "NetworkPolicy")["spec"]["egress"] for each in rule["ports"]]
    assert ports == [53, 53, 9000]


def test_a_plan_is_built_before_kserve_serves_it(sample_export: Path, tmp_path: Path) -> None:
    request = Request("kcbert", sample_export, engine="trt_fp16", graph="bls", build_script="24.04")
    scaffold(request, tmp_path / "models")
    folder = written("kserve", tmp_path / "models", tmp_path / "kcbert", *IMAGE)
    kubernetes_validate.validate(as_pod(folder), "1.33", strict=True)
    steps = [each["name"] for each in of_kind(folder, "InferenceService")["spec"]["predictor"]["initContainers"]]
    assert steps == ["models", "plan-0"]


def test_values_are_those_of_kubernetes(sample_repository: Path, tmp_path: Path) -> None:
    plain = written("kubernetes", sample_repository, tmp_path / "plain", *IMAGE)
    folder = written("kserve", sample_repository, tmp_path / "kserve", *IMAGE)
    own = of_kind(folder, "ServingRuntime")["spec"]["containers"]
    pod = of_kind(plain, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert own[0] | {"name": "triton", "ports": pod[0]["ports"]} == pod[0]
    assert own[1] | {"ports": pod[1]["ports"]} == pod[1]
    assert own[0]["ports"][0] == {"name": "edge-http", "containerPort": 8080}  # to which KServe's Service leads
    assert configs(built(folder)) == configs(built(plain))
    runtime = next(each for each in built(folder) if each["kind"] == "ServingRuntime")
    assert configs_named(runtime["spec"]) == {*configs(built(folder))}
