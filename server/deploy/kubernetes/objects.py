"""What Kubernetes is asked for around the pods of a fleet: files of objects, by name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tbgen.server.deploy.documents import YamlObject
from tbgen.server.deploy.fleet import Servers
from tbgen.server.deploy.kubernetes.edge import EDGE_PORTS
from tbgen.server.deploy.kubernetes.pod import pod_spec
from tbgen.server.deploy.launch import GRPC, HTTP, METRICS
from tbgen.server.deploy.places import ModelsPlace

_NAME, _PART = "app.kubernetes.io/name", "app.kubernetes.io/component"
_LINK_LOCAL = "169.254.0.0/16"  # metadata servers
_DNS = [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]


def server_files(fleet: Servers, v: SimpleNamespace) -> dict[str, list[YamlObject]]:
    """The objects that every fleet has, by file."""
    return {
        "account.yaml": [made("v1", "ServiceAccount", v, v.name, automountServiceAccountToken=False)],
        "deployment.yaml": [_deployment(fleet, v)],
        "services.yaml": [_service(v), _headless(v)],
        "disruption.yaml": [_disruption(v)],
        "network.yaml": [_network(fleet, v)],
    }


def _asked(name: str) -> YamlObject:
    """The label of the pods that a Service sends requests to: those of a canary have that of its elder, too."""
    return {f"asked-as-{name}": "true"}


def labels_of(v: SimpleNamespace) -> dict[str, str]:
    """What the pods of the servers are known by."""
    return {_NAME: v.name, _PART: "server"}


def made(version: str, kind: str, v: SimpleNamespace, name: str, **rest: Any) -> YamlObject:
    """An object with its name and labels."""
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": labels_of(v)}, **rest}


def _deployment(fleet: Servers, v: SimpleNamespace) -> YamlObject:
    """The servers. A new one is ready before an old one goes, and that one ends what it has begun."""
    labels = labels_of(v)
    asked = {**_asked(v.name), **(_asked(v.canaryOf) if fleet.canary_of else {})}
    annotations = {"prometheus.io/scrape": "true", "prometheus.io/port": str(METRICS)}
    spec = {
        "replicas": v.replicas,
        "revisionHistoryLimit": 3,
        "minReadySeconds": 5,
        "progressDeadlineSeconds": v.deadlineSeconds,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": {**labels, **asked}, "annotations": annotations},
            "spec": pod_spec(fleet, v, labels),
        },
    }
    return made("apps/v1", "Deployment", v, v.name, spec=spec)


def _service(v: SimpleNamespace) -> YamlObject:
    """HTTP: each connection goes to one of the servers."""
    return made(
        "v1", "Service", v, v.name, spec={"type": "ClusterIP", "selector": _asked(v.name), "ports": [_port("http")]}
    )


def _headless(v: SimpleNamespace) -> YamlObject:
    """gRPC: the name has the address of each server, among which a client shares its requests out itself."""
    spec = {"clusterIP": "None", "selector": _asked(v.name), "ports": [_port("grpc"), _port("http")]}
    return made("v1", "Service", v, f"{v.name}-headless", spec=spec)


def _port(name: str) -> YamlObject:
    return {"name": name, "port": {"http": HTTP, "grpc": GRPC}[name], "targetPort": f"edge-{name}"}


def _disruption(v: SimpleNamespace) -> YamlObject:
    """Nodes are emptied of one server at a time."""
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": labels_of(v)}}
    return made("policy/v1", "PodDisruptionBudget", v, v.name, spec=spec)


def _network(fleet: Servers, v: SimpleNamespace) -> YamlObject:
    """Who may ask: pods of the namespace; metrics: Prometheus. Whom a server asks: its bucket, else nobody."""
    namespace = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": v.monitoringNamespace}}}
    asked = [{"port": EDGE_PORTS[name]} for name in ("edge-http", "edge-grpc")]
    measured = [{"port": METRICS}, {"port": EDGE_PORTS["edge-metrics"]}]
    spec = {
        "podSelector": {"matchLabels": labels_of(v)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {"from": [{"podSelector": {}}], "ports": asked},
            {"from": [namespace], "ports": measured},
        ],
        "egress": _bucket_rules(fleet.models) if fleet.models and fleet.models.bucket else [],
    }
    return made("networking.k8s.io/v1", "NetworkPolicy", v, v.name, spec=spec)


def _bucket_rules(models: ModelsPlace) -> list[YamlObject]:
    """Its name, its port, and where clouds give out identities."""
    identities = {"to": [{"ipBlock": {"cidr": _LINK_LOCAL}}], "ports": [{"port": 80}, {"port": 988}]}
    return [{"ports": _DNS}, {"ports": [{"port": models.port}]}, *([] if models.own_store else [identities])]
