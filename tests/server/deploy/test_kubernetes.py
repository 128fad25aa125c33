"""What `tbgen deploy kubernetes` writes, held against the schemas of Kubernetes, KEDA and the Prometheus operator, and
read by the real kubectl.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tbgen.generator.scaffold import Request, scaffold
from tbgen.generator.shared_memory import shared_memory_mib
from tests.generator.test_plans import write_program
from tests.server.deploy.fleets import (
    IMAGE,
    built,
    configs,
    configs_named,
    deploy,
    documents,
    kubectl,
    of_kind,
    on_gpu,
    written,
)
from tests.server.deploy.pod import here
from tests.tools import tool

# The words before a command that let root write no more than its files' modes do.
AS_ANYBODY = [] if os.getuid() else ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
# Kinds that others define -> the package that has their schemas.
OTHERS = {"ScaledObject": "cloudcoil.models.keda.v1alpha1", "PodMonitor": "cloudcoil.models.prometheus_operator.v1"}
WAYS = {
    "image": IMAGE,
    "bucket": ("--models", "s3://models/nlp"),
    "own store": ("--models", "s3://http://minio.storage:9000/models/nlp", "--autoscaler", "hpa"),
    "volume": ("--models", "pvc://models/nlp", "--autoscaler", "keda"),
}


@pytest.fixture(scope="module")
def folder(sample_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is written for the sample in an image."""
    return written("kubernetes", sample_repository, tmp_path_factory.mktemp("kubernetes") / "kcbert", *IMAGE)


@pytest.mark.parametrize("way", WAYS)
def test_every_object_is_one_by_its_schema(sample_repository: Path, tmp_path: Path, way: str) -> None:
    folder = written("kubernetes", sample_repository, tmp_path / "kcbert", *WAYS[way])
    for each in built(folder):
        if each["kind"] in OTHERS:
            model: Any = getattr(importlib.import_module(OTHERS[each["kind"]]), each["kind"])
            known = json.loads(model.model_validate(each).model_dump_json(by_alias=True, exclude_unset=True))
            assert known == each  # nothing was left out as unknown
        else:
            for version in ("1.31", "1.37"):  # beside that by which tbgen writes
                kubernetes_validate.validate(each, version, strict=True)


def test_kubectl_builds_the_kustomization(sample_repository: Path, tmp_path: Path) -> None:
    folder = written("kubernetes", sample_repository, tmp_path / "kcbert", *IMAGE, "--autoscaler", "hpa")
    objects = {each["kind"]: each for each in built(folder)}
    for each in documents(folder):
        assert each["kind"] in ("Service", "Deployment") or objects[each["kind"]] == each
    for name, files in configs(built(folder)).items():
        part = name.split("-")[1]
        assert files == {file.name: file.read_text("utf-8") for file in (folder / part).iterdir()}
    assert configs_named(objects["Deployment"]["spec"]["template"]["spec"]) == {*configs(built(folder))}


def test_kubectl_reads_the_deployment_into_its_own_types(folder: Path) -> None:
    read = kubectl("set", "env", "--local", "-f", folder / "deployment.yaml", "TRIED=1", "-o", "yaml")
    pod = yaml.safe_load(read)["spec"]["template"]["spec"]
    for container in pod["containers"]:
        assert container["env"].pop() == {"name": "TRIED", "value": "1"}
    assert pod == of_kind(folder, "Deployment")["spec"]["template"]["spec"]


def test_a_server_of_the_sample(sample_repository: Path, folder: Path) -> None:
    pod = of_kind(folder, "Deployment")["spec"]["template"]["spec"]
    server = pod["containers"][0]
    assert server["image"] == IMAGE[1]
    assert "--model-repository=/models" in server["args"]
    shared = next(each["emptyDir"] for each in pod["volumes"] if each["name"] == "shared-memory")
    assert shared == {"medium": "Memory", "sizeLimit": f"{shared_memory_mib(sample_repository)}Mi"}
    assert server["securityContext"]["readOnlyRootFilesystem"]
    assert pod["securityContext"]["runAsNonRoot"]
    ends = next(int(each.split("=")[1]) for each in server["args"] if each.startswith("--exit-timeout-secs="))
    drains = server["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > drains + ends
    assert "nvidia.com/gpu" not in server["resources"]["limits"]
    questions = json.loads((folder / "probe" / "questions.json").read_text(encoding="utf-8"))
    assert [*questions] == ["kcbert_onnx_bls", "kcbert_onnx_ensemble"]


def test_nothing_reaches_triton_but_through_its_proxy(folder: Path) -> None:
    server, edge = of_kind(folder, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert {"--http-address=127.0.0.1", "--grpc-address=127.0.0.1"} <= {*server["args"]}
    ports = {each["name"]: each["containerPort"] for each in edge["ports"]}
    services = [each for each in documents(folder) if each["kind"] == "Service"]
    assert {each["targetPort"] for service in services for each in service["spec"]["ports"]} == {
        "edge-http",
        "edge-grpc",
    }
    allowed = {each["port"] for rule in of_kind(folder, "NetworkPolicy")["spec"]["ingress"] for each in rule["ports"]}
    assert allowed == {*ports.values(), 8002}
    # it closes its clients' connections, which go elsewhere, before Triton is told to end
    assert edge["lifecycle"]["preStop"]["sleep"]["seconds"] < server["lifecycle"]["preStop"]["sleep"]["seconds"]


def test_files_are_never_changed_under_a_pod_that_has_them(
    sample_repository: Path, folder: Path, tmp_path: Path
) -> None:
    """As a rollout that a probe of other models would end, or a way back to older ones."""
    shutil.copytree(sample_repository, tmp_path / "models")
    shutil.rmtree(tmp_path / "models" / "kcbert_onnx_ensemble")
    other = written("kubernetes", tmp_path / "models", tmp_path / "kcbert", *IMAGE)
    assert not {*configs(built(folder))} & {*configs(built(other))}


def test_an_edit_of_what_pods_are_given_reaches_them(sample_repository: Path, tmp_path: Path) -> None:
    """Also where the rest is written anew, for other models."""
    shutil.copytree(sample_repository, tmp_path / "models")
    folder = written("kubernetes", tmp_path / "models", tmp_path / "kcbert", *IMAGE)
    file = folder / "edge" / "haproxy.cfg"
    before = {*configs(built(folder))}
    file.write_text(file.read_text("utf-8").replace("maxconn 2000", "maxconn 500"), encoding="utf-8")
    shutil.rmtree(tmp_path / "models" / "kcbert_onnx_ensemble")
    written("kubernetes", tmp_path / "models", folder, *IMAGE)
    after = configs(built(folder))
    pod = next(each for each in built(folder) if each["kind"] == "Deployment")["spec"]["template"]["spec"]
    assert configs_named(pod) == {*after}
    assert not before & {*after}
    assert any("maxconn 500" in files.get("haproxy.cfg", "") for files in after.values())


def test_the_real_haproxy_reads_the_proxys_configuration(folder: Path, tmp_path: Path) -> None:
    edge = of_kind(folder, "Deployment")["spec"]["template"]["spec"]["containers"][1]
    environment = {each["name"]: each["value"] for each in edge["env"]} | {"HAPROXY_ADMIN": str(tmp_path / "admin")}
    words = [tool("haproxy"), "-c", "-f", folder / "edge" / "haproxy.cfg"]
    done = subprocess.run(words, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_engine_on_a_gpu_asks_for_one(sample_repository: Path, tmp_path: Path) -> None:
    repository = on_gpu(sample_repository, tmp_path / "models")
    folder = written("kubernetes", repository, tmp_path / "kcbert", *IMAGE, "--autoscaler", "hpa")
    pod = of_kind(folder, "Deployment")["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    metrics = of_kind(folder, "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert [each["type"] for each in metrics] == ["Pods"]  # its CPUs say nothing of what a GPU has to do


def test_a_plan_is_built_where_it_is_served(sample_export: Path, tmp_path: Path) -> None:
    request = Request("kcbert", sample_export, engine="trt_fp16", graph="both", build_script="24.04")
    scaffold(request, tmp_path / "models")
    folder = written("kubernetes", tmp_path / "models", tmp_path / "kcbert", *IMAGE)
    assert of_kind(folder, "Deployment")["spec"]["progressDeadlineSeconds"] == 540 + 1800  # while it is built
    pod = of_kind(folder, "Deployment")["spec"]["template"]["spec"]
    copy, build = pod["initContainers"]
    assert copy["image"] == IMAGE[1]
    assert build["image"] == "nvcr.io/nvidia/tensorrt:24.04-py3"
    assert build["command"] == ["sh", "/built/kcbert_trt_fp16/build/build.sh"]
    assert build["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert {"name": "built", "mountPath": "/models", "readOnly": True} in pod["containers"][0]["volumeMounts"]
    write_program(tmp_path / "bin" / "trtexec", "printf plan > build/model.plan")
    for entry in (tmp_path / "models").rglob("*"):
        entry.chmod(0o555)  # as the image has it
    mounts = {"/models": tmp_path / "models", "/built": tmp_path / "built"}
    mounts["/built"].mkdir()
    for step in (copy, build):
        words = [here(each, {there: str(own) for there, own in mounts.items()}) for each in step["command"]]
        path = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
        subprocess.run([*AS_ANYBODY, *words], check=True, env=path)
    assert (tmp_path / "built" / "kcbert_trt_fp16" / "1" / "model.plan").read_bytes() == b"plan"


def test_a_plan_that_is_to_be_built_excuses_nothing_else(sample_export: Path, tmp_path: Path) -> None:
    request = Request("kcbert", sample_export, engine="trt_fp16", graph="ensemble", build_script="24.04")
    scaffold(request, tmp_path / "models")
    config = tmp_path / "models" / "kcbert_trt_fp16" / "config.pbtxt"
    config.write_text(config.read_text("utf-8").replace("KIND_GPU", "KIND_CPU"), encoding="utf-8")
    done = deploy("kubernetes", tmp_path / "models", tmp_path / "out", *IMAGE)
    assert (done.exit_code, "does not serve kcbert_trt_fp16" in done.output) == (1, True), done.output


def test_a_clouds_bucket_needs_the_clouds_identity(sample_repository: Path, tmp_path: Path) -> None:
    bucket = written("kubernetes", sample_repository, tmp_path / "kcbert", *WAYS["bucket"])
    rule = of_kind(bucket, "NetworkPolicy")["spec"]["egress"][-1]
    assert rule["to"] == [{"ipBlock": {"cidr": "169.254.0.0/16"}}]


def test_a_bucket_is_the_only_place_that_its_servers_reach(sample_repository: Path, tmp_path: Path) -> None:
    folder = written("kubernetes", sample_repository, tmp_path / "kcbert", *WAYS["own store"])
    ports = [each["port"] for rule in of_kind(folder, "NetworkPolicy")["spec"]["egress"] for each in rule["ports"]]
    assert ports == [53, 53, 9000]
    server = of_kind(folder, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert "--model-control-mode=poll" in server["args"]
    assert server["envFrom"] == [{"secretRef": {"name": "kcbert-bucket", "optional": True}}]


def test_a_canary_gets_a_share_of_the_requests_of_its_elder(sample_repository: Path, tmp_path: Path) -> None:
    elder = written("kubernetes", sample_repository, tmp_path / "elder", *IMAGE)
    options = ("--name", "kcbert-canary", "--canary-of", "kcbert", "--replicas", "1")
    canary = written("kubernetes", sample_repository, tmp_path / "canary", "--image", "ghcr.io/you/kcbert:2", *options)
    labels = of_kind(canary, "Deployment")["spec"]["template"]["metadata"]["labels"]
    for folder in (elder, canary):
        assert of_kind(folder, "Service")["spec"]["selector"].items() <= labels.items()
    own = of_kind(elder, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert not of_kind(canary, "Service")["spec"]["selector"].items() <= own.items()
    assert not of_kind(canary, "Deployment")["spec"]["selector"]["matchLabels"].items() <= own.items()


def test_an_autoscaler_alone_sets_the_number(sample_repository: Path, folder: Path, tmp_path: Path) -> None:
    assert of_kind(folder, "Deployment")["spec"]["replicas"] == 2
    scaled = written("kubernetes", sample_repository, tmp_path / "scaled", *IMAGE, "--autoscaler", "keda")
    assert "replicas" not in of_kind(scaled, "Deployment")["spec"]
    (job,) = of_kind(scaled, "PodMonitor")["spec"]["podMetricsEndpoints"][0]["relabelings"]
    assert job == {"targetLabel": "job", "replacement": "triton"}  # as the rules of `tbgen deploy dashboards` ask
    trigger = of_kind(scaled, "ScaledObject")["spec"]["triggers"][0]
    assert trigger["metricType"] == "Value"  # a mean wait is not shared out among servers
    assert re.search(r'model=~"kcbert_onnx_bls\|kcbert_onnx_ensemble"', trigger["metadata"]["query"])
