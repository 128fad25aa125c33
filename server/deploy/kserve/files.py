"""The folder of `tbgen deploy kserve`: Triton as a ServingRuntime, models as an InferenceService in Standard mode."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

from tbgen.server.deploy.documents import YamlObject, check_documents, yaml_from
from tbgen.server.deploy.fleet import Servers
from tbgen.server.deploy.kubernetes.edge import EDGE_PORTS
from tbgen.server.deploy.kubernetes.files import with_kustomization
from tbgen.server.deploy.kubernetes.objects import labels_of, made, server_files
from tbgen.server.deploy.kubernetes.pod import bucket_secret, pod_spec
from tbgen.server.deploy.kubernetes.scaling import BEHAVIOR, BUSY, pods_of, wait_query
from tbgen.server.deploy.kubernetes.values import plain_fleet
from tbgen.server.deploy.launch import METRICS, MODELS

_FORMAT = {"name": "triton", "version": "2"}
_PORTS = [{"name": name, "containerPort": port} for name, port in (*EDGE_PORTS.items(), ("metrics", METRICS))]
_BROUGHT = "/mnt/models"  # where KServe puts models
_CONTAINER = "kserve-container"  # by which KServe knows the one that serves
_RUNTIME_KEYS = ("containers", "volumes", "tolerations")  # of a pod, those that a ServingRuntime has
_SHARED = ("account.yaml", "disruption.yaml", "network.yaml")
_REFERENCES = "references.yaml"
# Where a ServingRuntime names ConfigMaps, which kustomize knows of Kubernetes' own kinds alone.
_CONFIGS = {
    "kind": "ConfigMap",
    "version": "v1",
    "fieldSpecs": [{"kind": "ServingRuntime", "path": "spec/volumes/configMap/name"}],
}


def kserve_files(fleet: Servers, autoscaler: str) -> dict[str, str]:
    """The text of each file, by name."""
    brought = fleet.models is not None and not fleet.plans  # by KServe, before the server starts
    alone = replace(fleet, models=None) if brought else fleet
    v = plain_fleet(alone, autoscaler)
    pod = pod_spec(alone, v, labels_of(v), repository=_BROUGHT if brought else MODELS)
    pod["containers"][0] |= {"name": _CONTAINER, "ports": _PORTS}
    pod["containers"][1].pop("ports")  # KServe's Service leads to those of the first container
    objects = _around(fleet, plain_fleet(fleet, autoscaler))
    objects["runtime.yaml"] = [_runtime(v, pod)]
    place = fleet.models.in_store if fleet.models and brought else ""
    objects["service.yaml"] = [_service(fleet, v, pod, autoscaler, place)]
    texts = with_kustomization(objects, fleet, v, configurations=[_REFERENCES])
    return {**texts, _REFERENCES: yaml_from([{"nameReference": [_CONFIGS]}])}


def _around(fleet: Servers, v: SimpleNamespace) -> dict[str, list[YamlObject]]:
    """The objects of Kubernetes' own, held against its schemas, by file."""
    files = server_files(fleet, v)
    objects = {name: files[name] for name in _SHARED}
    objects["network.yaml"][0]["spec"]["ingress"][0].pop("from")  # a gateway asks, whose namespace is not known
    if fleet.models and fleet.models.bucket:
        objects["account.yaml"][0]["secrets"] = [{"name": bucket_secret(v)}]  # by which KServe reads it, if it is there
    check_documents(document for documents in objects.values() for document in documents)
    return objects


def _runtime(v: SimpleNamespace, pod: YamlObject) -> YamlObject:
    """Triton, as KServe starts it."""
    port = str(METRICS)
    spec = {
        "annotations": {"prometheus.kserve.io/port": port, "prometheus.kserve.io/path": "/metrics"},
        "supportedModelFormats": [_FORMAT],
        "protocolVersions": ["v2", "grpc-v2"],
        "multiModel": False,
        **{key: pod[key] for key in _RUNTIME_KEYS if key in pod},
    }
    return made("serving.kserve.io/v1alpha1", "ServingRuntime", v, v.name, spec=spec)


def _service(fleet: Servers, v: SimpleNamespace, pod: YamlObject, autoscaler: str, place: str) -> YamlObject:
    """The models, served by that runtime. place: from which KServe brings them, empty where it need not."""
    scaled = autoscaler != "none"
    predictor = {
        "labels": labels_of(v),
        **{key: value for key, value in pod.items() if key not in _RUNTIME_KEYS},
        "model": {
            "modelFormat": _FORMAT,
            "runtime": v.name,
            "protocolVersion": "v2",
            **({"storageUri": place} if place else {}),
        },
        "minReplicas": fleet.replicas,
        "maxReplicas": v.maxReplicas if scaled else fleet.replicas,
        **(_SCALING[autoscaler](fleet, v) if scaled else {}),
    }
    service = made("serving.kserve.io/v1beta1", "InferenceService", v, v.name, spec={"predictor": predictor})
    annotations = {"serving.kserve.io/deploymentMode": "Standard"}
    annotations |= {"serving.kserve.io/autoscalerClass": autoscaler} if scaled else {}
    service["metadata"]["annotations"] = annotations
    return service


def _by_wait(fleet: Servers, v: SimpleNamespace) -> YamlObject:
    """KEDA asks Prometheus how long requests wait."""
    pods = pods_of(v, f"{v.name}-predictor")
    metric = {"backend": "prometheus", "serverAddress": v.prometheus, "query": wait_query(fleet, pods)}
    external = {"metric": metric, "target": {"type": "Value", "value": v.queueMilliseconds}}
    return {"autoScaling": {"metrics": [{"type": "External", "external": external}], "behavior": BEHAVIOR}}


def _by_cpus(_: Servers, __: SimpleNamespace) -> YamlObject:
    """KServe's HPA knows CPUs and memory alone."""
    return {"scaleMetric": "cpu", "scaleTarget": BUSY}


_SCALING = {"keda": _by_wait, "hpa": _by_cpus}
