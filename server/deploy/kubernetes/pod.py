"""The pod of one server: tritonserver in NVIDIA's container, with nothing that it does not need."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tbgen.generator.engines.engine import BUILD
from tbgen.generator.models.config import CACHE_ARGUMENT
from tbgen.server.deploy.documents import YamlObject
from tbgen.server.deploy.fleet import Servers
from tbgen.server.deploy.kubernetes.edge import edge_container, edge_volumes
from tbgen.server.deploy.kubernetes.values import LOOK_SECONDS
from tbgen.server.deploy.launch import (
    BUILDER_IMAGE,
    ENVIRONMENT,
    HTTP,
    METRICS,
    MODELS,
    USER,
    server_command,
    with_stack,
)

_ADDRESSES = ("--http-address=127.0.0.1", "--grpc-address=127.0.0.1", "--metrics-address=0.0.0.0")  # the proxy asks
_READY = ["curl", "-fsS", "--max-time", "2", f"http://127.0.0.1:{HTTP}/v2/health/ready"]
PROBE = "/probe"
PROBE_SECONDS = 10  # for the whole of a probe
_LOCKED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def pod_spec(fleet: Servers, v: SimpleNamespace, labels: dict[str, str], *, repository: str = MODELS) -> YamlObject:
    """The spec of a server's pod. repository: where its models lie, if they come from no bucket or volume."""
    spec: YamlObject = {
        "serviceAccountName": v.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": v.graceSeconds,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [_spread(key, labels) for key in _TOPOLOGY],
        "containers": [_server(fleet, v, repository), edge_container(v, _LOCKED)],
        "volumes": _volumes(fleet, v),
    }
    if fleet.plans:
        spec["initContainers"] = [_copy(fleet, v), *(_build(fleet, v, model) for model in fleet.plans)]
    if fleet.sizes.gpus:
        spec["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    return spec


_TOPOLOGY = ("topology.kubernetes.io/zone", "kubernetes.io/hostname")


def _spread(key: str, labels: dict[str, str]) -> YamlObject:
    """As evenly over zones, or nodes, as there is room."""
    return {
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels},
        "matchLabelKeys": ["pod-template-hash"],
    }


def _server(fleet: Servers, v: SimpleNamespace, repository: str) -> YamlObject:
    """The container of tritonserver."""
    bucket = bool(fleet.models and fleet.models.bucket)
    place = v.models if bucket else _folder(fleet) or repository
    more = [*_ADDRESSES, *([CACHE_ARGUMENT] if fleet.cached else [])]
    container: YamlObject = {
        "name": "triton",
        "image": v.image,
        "imagePullPolicy": "IfNotPresent",
        "args": with_stack(server_command(place, *more, polled=fleet.polled)),
        "env": [{"name": name, "value": value} for name, value in ENVIRONMENT.items()],
        "ports": [{"name": "metrics", "containerPort": METRICS}],
        "startupProbe": _asked_ready(v.startupTries),
        "readinessProbe": _asked_ready(3),
        "livenessProbe": {
            "exec": {"command": ["python3", f"{PROBE}/probe.py"]},
            "periodSeconds": 2 * PROBE_SECONDS,
            "timeoutSeconds": PROBE_SECONDS,
            "failureThreshold": 2,
        },
        "lifecycle": {"preStop": {"sleep": {"seconds": v.drainSeconds}}},
        "resources": _resources(fleet, v),
        "securityContext": _LOCKED,
        "volumeMounts": _mounts(fleet),
    }
    if bucket:
        container["envFrom"] = [{"secretRef": {"name": bucket_secret(v), "optional": True}}]
    return container


def bucket_secret(v: SimpleNamespace) -> str:
    """The name of the secret that a person makes, with the keys of the bucket."""
    return f"{v.name}-bucket"


def _folder(fleet: Servers) -> str:
    """Where the models of a volume lie in a server's container; empty where they come from none."""
    return f"{MODELS}/{fleet.models.claim[1]}".rstrip("/") if fleet.models and not fleet.plans else ""


def _asked_ready(tries: Any) -> YamlObject:
    """Triton's own readiness: all models are loaded."""
    return {"exec": {"command": _READY}, "periodSeconds": LOOK_SECONDS, "timeoutSeconds": 3, "failureThreshold": tries}


def _resources(fleet: Servers, v: SimpleNamespace) -> YamlObject:
    """CPUs without a limit, which would only stop them while others are idle; the rest as sure as it is bounded."""
    gpus = {"nvidia.com/gpu": fleet.sizes.gpus} if fleet.sizes.gpus else {}
    return {
        "requests": {"cpu": v.cpu, "memory": v.memory, **gpus},
        "limits": {"memory": v.memory, **gpus},
    }


def _mounts(fleet: Servers) -> list[YamlObject]:
    """What a server sees beside its image."""
    models = fleet.plans or (fleet.models and not fleet.models.bucket)
    return [
        {"name": "shared-memory", "mountPath": "/dev/shm"},
        {"name": "temporary", "mountPath": "/tmp"},
        {"name": "probe", "mountPath": PROBE, "readOnly": True},
        *([{"name": "built" if fleet.plans else "models", "mountPath": MODELS, "readOnly": True}] if models else []),
    ]


def _volumes(fleet: Servers, v: SimpleNamespace) -> list[YamlObject]:
    """Memory for tensors, room for temporary files, the probe, and the models where they come from a volume."""
    volumes: list[YamlObject] = [
        {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": v.sharedMemory}},
        {"name": "temporary", "emptyDir": {"sizeLimit": v.temporary}},
        {"name": "probe", "configMap": {"name": v.configs["probe"]}},
        *edge_volumes(v),
    ]
    if fleet.models and not fleet.models.bucket:
        volumes.append({"name": "models", "persistentVolumeClaim": {"claimName": v.claim, "readOnly": True}})
    if fleet.plans:
        volumes.append({"name": "built", "emptyDir": {"sizeLimit": f"{_PLANS * fleet.sizes.files + 1024}Mi"}})
    return volumes


_PLANS = 3  # times the repository: itself, the plans, and what trtexec writes on the way


def _copy(fleet: Servers, v: SimpleNamespace) -> YamlObject:
    """Brings the models to where their plans are built."""
    folder = fleet.models.claim[1] if fleet.models else ""
    source = f"{'/source' if fleet.models else MODELS}/{folder}".rstrip("/")
    mounts: list[YamlObject] = [{"name": "built", "mountPath": "/built"}]
    mounts += [{"name": "models", "mountPath": "/source", "readOnly": True}] if fleet.models else []
    return {
        "name": "models",
        "image": v.image,
        "command": ["cp", "-r", "--no-preserve=mode", f"{source}/.", "/built"],  # an image lets nobody write
        "resources": {"requests": {"cpu": "1", "memory": "512Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": _LOCKED,
        "volumeMounts": mounts,
    }


def _build(fleet: Servers, v: SimpleNamespace, model: str) -> YamlObject:
    """Builds the plan of a model on the GPU that will serve it, by the script that stands in the model."""
    return {
        "name": f"plan-{fleet.plans.index(model)}",
        "image": BUILDER_IMAGE.format(fleet.release),
        "command": ["sh", f"/built/{model}/{BUILD}"],
        "resources": _resources(fleet, v),
        "securityContext": _LOCKED,
        "volumeMounts": [{"name": "built", "mountPath": "/built"}, {"name": "temporary", "mountPath": "/tmp"}],
    }
