"""How tritonserver is started in NVIDIA's container: for the printed line, images, Compose and Kubernetes alike."""

from __future__ import annotations

from collections.abc import Iterable

from tbgen.generator.addresses import GRPC as GRPC
from tbgen.generator.addresses import HTTP as HTTP
from tbgen.generator.addresses import METRICS as METRICS
from tbgen.server.embedded.process import CONTROL_MODES, STACK
from tbgen.server.embedded.process import ENVIRONMENT as ENVIRONMENT

STOCK_IMAGE = "nvcr.io/nvidia/tritonserver:{}-py3"  # of a release
BUILDER_IMAGE = "nvcr.io/nvidia/tensorrt:{}-py3"  # with trtexec, of the same release
PROXY_IMAGE = "docker.io/library/haproxy:2.6"  # the line that tests run
AUTOSCALERS = ("none", "hpa", "keda")  # what starts more servers
USER = 1000  # triton-server, in NVIDIA's containers
MODELS = "/models"
EXIT_SECONDS = 30  # for requests in flight; Triton waits as long for connections that are idle
KILL_SECONDS = EXIT_SECONDS + 15  # until what is left is killed
SCRAPE_INTERVAL = "15s"  # between two looks of Prometheus at metrics
POLL_SECONDS = 30  # between two looks at a repository that changes under a server


def server_command(repository: str, *more: str, polled: bool = False) -> list[str]:
    """tritonserver's command line on a repository. polled: it may change, which else would not be seen."""
    control = (CONTROL_MODES["poll"][0], f"--repository-poll-secs={POLL_SECONDS}") if polled else ()
    return ["tritonserver", f"--model-repository={repository}", *control, f"--exit-timeout-secs={EXIT_SECONDS}", *more]


def with_stack(command: Iterable[str]) -> list[str]:
    """A command whose threads get a stack of that size, where no setting gives it: by the shell, as far as allowed."""
    return ["/bin/sh", "-c", 'ulimit -s "$0" || true; exec "$@"', str(STACK >> 10), *command]
