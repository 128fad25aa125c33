"""The folder of `tbgen deploy compose`: a server on one machine, and its probe."""

from __future__ import annotations

from shlex import quote
from typing import Any

from tbgen.export.errors import UserError
from tbgen.generator.client_code import DEADLINE
from tbgen.generator.engines.engine import BUILD
from tbgen.generator.models.config import CACHE_ARGUMENT
from tbgen.server.deploy.documents import YamlObject, yaml_from
from tbgen.server.deploy.fleet import Servers
from tbgen.server.deploy.kubernetes.brought import brought_by_name
from tbgen.server.deploy.kubernetes.edge import (
    EDGE,
    EDGE_PORTS,
    EDGE_USER,
    SOCKETS,
    edge_command,
    edge_environment,
)
from tbgen.server.deploy.kubernetes.pod import PROBE, PROBE_SECONDS
from tbgen.server.deploy.launch import (
    ENVIRONMENT,
    GRPC,
    HTTP,
    KILL_SECONDS,
    METRICS,
    MODELS,
    PROXY_IMAGE,
    USER,
    server_command,
)
from tbgen.server.embedded.process import STACK

_LOCKED = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}
_SHARES = 1024  # for a CPU, of which a server is as sure as a request of Kubernetes makes it
_CREDENTIALS = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION"),
    "gs": ("GOOGLE_APPLICATION_CREDENTIALS",),
}


def compose_files(fleet: Servers, _: str = "") -> dict[str, str]:
    """The text of each file, by name. Raises UserError for what one machine has no way to do."""
    if fleet.models and not fleet.models.bucket:
        raise UserError(f"{fleet.models} is a volume of a cluster; without --models the repository's folder is served")
    if fleet.plans:
        raise UserError(
            f"the plan of {fleet.plans[0]} is not built yet; build it on this machine first: "
            f"sh {quote(str(fleet.repository / fleet.plans[0] / BUILD))}"
        )
    composed = {"name": fleet.name, "services": {"triton": _server(fleet), "edge": _edge()}}
    return {"compose.yaml": yaml_from([composed]), **brought_by_name(fleet, "triton")}


def _server(fleet: Servers) -> YamlObject:
    """The service of tritonserver."""
    models, sizes = fleet.models, fleet.sizes
    more = [CACHE_ARGUMENT] if fleet.cached else []
    service: YamlObject = {
        "image": fleet.image,
        "command": server_command(str(models or MODELS), *more, polled=fleet.polled),
        "user": f"{USER}:{USER}",
        "environment": {**ENVIRONMENT, **dict.fromkeys(_CREDENTIALS[models.scheme] if models else ())},
        "ports": [f"127.0.0.1:{METRICS}:{METRICS}"],
        "volumes": [_bound("./probe", PROBE), {"type": "volume", "target": "/tmp"}],
        "shm_size": f"{sizes.shared_memory}m",
        "ulimits": {"stack": STACK},
        **_LOCKED,
        "healthcheck": {
            "test": ["CMD", "python3", f"{PROBE}/probe.py"],
            "interval": f"{2 * PROBE_SECONDS}s",
            "timeout": f"{PROBE_SECONDS}s",
            "retries": 2,
            "start_period": f"{sizes.startup}s",
        },
        "stop_grace_period": f"{KILL_SECONDS}s",
        "restart": "unless-stopped",
        "cpu_shares": _SHARES * sizes.cpus,
        "deploy": {"resources": _resources(fleet)},
    }
    if not models and fleet.in_stock_image:
        service["volumes"].append(_bound(str(fleet.repository.resolve()).replace("$", "$$"), MODELS))
    return service


def _edge() -> YamlObject:
    """The proxy before it, which alone is reached from this machine."""
    return {
        "image": PROXY_IMAGE,
        "command": edge_command(),
        "user": f"{EDGE_USER}:{EDGE_USER}",
        "environment": edge_environment(HTTP, GRPC, EDGE_PORTS["edge-metrics"]),
        "ports": [f"127.0.0.1:{port}:{port}" for port in (HTTP, GRPC)],
        "volumes": [_bound("./edge", EDGE)],
        "tmpfs": [f"{SOCKETS}:mode=1777"],
        **_LOCKED,
        "depends_on": {"triton": {"condition": "service_healthy", "restart": True}},
        "stop_grace_period": f"{DEADLINE + 15}s",  # it ends before Triton does, with what it has begun
        "restart": "unless-stopped",
    }


def _bound(source: str, target: str) -> YamlObject:
    """A folder of this machine, as the container reads it."""
    return {"type": "bind", "source": source, "target": target, "read_only": True}


def _resources(fleet: Servers) -> dict[str, Any]:
    """Memory at most, and the GPU."""
    limits = {"limits": {"memory": f"{fleet.sizes.memory}M"}}
    devices = [{"driver": "nvidia", "count": fleet.sizes.gpus, "capabilities": ["gpu"]}]
    return {**limits, "reservations": {"devices": devices}} if fleet.sizes.gpus else limits
