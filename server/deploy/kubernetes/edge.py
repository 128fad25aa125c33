"""The proxy before a server, in its pod: nothing reaches Triton but what it has read, and a dead one gets nothing."""

from __future__ import annotations

from types import SimpleNamespace

from tbgen.server.deploy.documents import YamlObject
from tbgen.server.deploy.haproxy.files import HAPROXY_CONFIG, PROXY_METRICS
from tbgen.server.deploy.kubernetes.values import LOOK_SECONDS

EDGE_USER = 99  # haproxy, in that image
EDGE_PORTS = {"edge-http": 8080, "edge-grpc": 8081, "edge-metrics": PROXY_METRICS}
EDGE = "/edge"
SOCKETS = "/run/edge"
_MEMORY = {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"memory": "1536Mi"}}  # 2,000 bodies at most


def edge_environment(http: int, grpc: int, metrics: int) -> dict[str, str]:
    """What tells HAProxy where to listen."""
    ports = {"HTTP": f":{http}", "GRPC": f":{grpc}", "METRICS": f":{metrics}"}
    return {f"HAPROXY_{name}": value for name, value in {**ports, "ADMIN": f"{SOCKETS}/admin.sock"}.items()}


def edge_command() -> list[str]:
    """HAProxy's command line."""
    return ["haproxy", "-W", "-db", "-f", f"{EDGE}/{HAPROXY_CONFIG}"]


def edge_container(v: SimpleNamespace, locked: YamlObject) -> YamlObject:
    """The container of the proxy. Its readiness is that of the server behind it, as a text that it asks tells it."""
    return {
        "name": "edge",
        "image": v.edgeImage,
        "imagePullPolicy": "IfNotPresent",
        "args": edge_command(),
        "env": [{"name": name, "value": value} for name, value in edge_environment(*EDGE_PORTS.values()).items()],
        "ports": [{"name": name, "containerPort": port} for name, port in EDGE_PORTS.items()],
        "readinessProbe": {
            "httpGet": {"path": "/v2/health/ready", "port": EDGE_PORTS["edge-http"]},
            "periodSeconds": LOOK_SECONDS,
            "failureThreshold": 2,
        },
        "livenessProbe": {"httpGet": {"path": "/metrics", "port": EDGE_PORTS["edge-metrics"]}, "periodSeconds": 20},
        "lifecycle": {"preStop": {"sleep": {"seconds": v.edgeDrainSeconds}}},
        "resources": _MEMORY,
        "securityContext": {**locked, "runAsUser": EDGE_USER, "runAsGroup": EDGE_USER},
        "volumeMounts": [
            {"name": "edge", "mountPath": EDGE, "readOnly": True},
            {"name": "edge-sockets", "mountPath": SOCKETS},
        ],
    }


def edge_volumes(v: SimpleNamespace) -> list[YamlObject]:
    """The proxy's configuration, and a place for its socket."""
    return [
        {"name": "edge", "configMap": {"name": v.configs["edge"]}},
        {"name": "edge-sockets", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
    ]
