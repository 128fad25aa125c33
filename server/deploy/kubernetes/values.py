"""What of a fleet Kubernetes is told, under the names of a chart's values: plain, or as templates say it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from tbgen.server.deploy.documents import CLOSE, OPEN
from tbgen.server.deploy.fleet import (
    DRAIN_SECONDS,
    EDGE_DRAIN_SECONDS,
    GRACE_SECONDS,
    MOST_TIMES,
    QUEUE_MILLISECONDS,
    Servers,
)
from tbgen.server.deploy.kubernetes.brought import brought_files
from tbgen.server.deploy.launch import AUTOSCALERS, PROXY_IMAGE
from tbgen.server.deploy.sizes import PLAN_SECONDS

LOOK_SECONDS = 5  # between two looks at readiness


def fleet_values(fleet: Servers, autoscaler: str = "none") -> dict[str, tuple[Any, str]]:
    """Each value and what it is, in the order in which a person reads them."""
    sizes = fleet.sizes
    temporary = sizes.temporary + (sizes.files if fleet.models and fleet.models.bucket else 0)
    values: dict[str, tuple[Any, str]] = {
        "image": (fleet.image, "The image of the servers."),
        "replicas": (fleet.replicas, "Servers, or at least as many where they are scaled."),
        "edgeImage": (PROXY_IMAGE, "The image of the proxy before each server."),
        "cpu": (str(sizes.cpus), "CPUs that a server is sure of; it may take more that is idle."),
        "memory": (_quantity(sizes.memory), "Memory of a server, shared memory in it."),
        "sharedMemory": (
            _quantity(sizes.shared_memory),
            "/dev/shm, through which Python models are sent their tensors.",
        ),
        "temporary": (_quantity(temporary), "/tmp of a server."),
        "startupTries": (
            math.ceil(sizes.startup / LOOK_SECONDS),
            f"Looks, one each {LOOK_SECONDS} s, until the models are loaded.",
        ),
        "deadlineSeconds": (
            sizes.startup + GRACE_SECONDS + 300 + PLAN_SECONDS * len(fleet.plans),
            "Seconds after which a rollout that stands still has failed.",
        ),
        "drainSeconds": (DRAIN_SECONDS, "Seconds between a pod's leaving its Services and SIGTERM."),
        "edgeDrainSeconds": (EDGE_DRAIN_SECONDS, "Seconds between that and its proxy's closing its connections."),
        "graceSeconds": (GRACE_SECONDS, "Seconds from there until it is killed."),
        "autoscaler": (autoscaler, f"What sets the number of servers: {', '.join(AUTOSCALERS)}."),
        "maxReplicas": (fleet.replicas * MOST_TIMES, "Servers at most, where they are scaled."),
        "queueMilliseconds": (str(QUEUE_MILLISECONDS), "Mean wait of a request above which there are more servers."),
        "prometheus": ("http://prometheus-operated.monitoring.svc:9090", "Where KEDA asks for that wait."),
        "monitoringNamespace": ("monitoring", "The namespace of Prometheus, which alone may read the metrics."),
    }
    if fleet.canary_of:
        values["canaryOf"] = (fleet.canary_of, "The fleet whose requests these servers get a share of.")
    if fleet.models and fleet.models.bucket:
        values["models"] = (str(fleet.models), "The bucket that holds the models.")
    if fleet.models and fleet.models.scheme == "pvc":
        values["claim"] = (fleet.models.claim[0], "The claim whose volume holds the models.")
    return values


def _quantity(mib: int) -> str:
    """MiB as Kubernetes writes them."""
    return f"{mib >> 10}Gi" if mib % 1024 == 0 else f"{mib}Mi"


def plain_fleet(fleet: Servers, autoscaler: str) -> SimpleNamespace:
    """The values themselves, and the name of what is made."""
    said = {key: value for key, (value, _) in fleet_values(fleet, autoscaler).items()}
    configs = {part: f"{fleet.name}-{part}" for part in brought_files(fleet)}  # kustomize marks them by their content
    return SimpleNamespace(name=fleet.name, namespace="", configs=configs, **said)


def chart_fleet(fleet: Servers) -> SimpleNamespace:
    """The values as a chart's templates have them."""
    said = {key: f"{OPEN}.Values.{key}{CLOSE}" for key in fleet_values(fleet)}
    name, namespace = f"{OPEN}.Release.Name{CLOSE}", f'namespace="{OPEN}.Release.Namespace{CLOSE}",'
    configs = {part: f"{name}-{part}-{_mark(part, texts)}" for part, texts in brought_files(fleet).items()}
    return SimpleNamespace(name=name, namespace=namespace, configs=configs, **said)


def text_in_chart(part: str, name: str) -> str:
    """The expression of a file that a chart brings."""
    return f'.Files.Get "{part}/{name}"'


def _mark(part: str, names: Iterable[str]) -> str:
    """What tells the files of a part in a chart from others."""
    texts = " ".join(f"({text_in_chart(part, name)})" for name in names)
    return f"{OPEN}print {texts} | sha256sum | trunc 8{CLOSE}"
