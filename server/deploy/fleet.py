"""Servers of a repository as they shall run, each value computed here once, with what it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tbgen.export.errors import UserError
from tbgen.generator.check.check import check_repository
from tbgen.generator.check.python_model import NOT_IN_STOCK
from tbgen.generator.engines.engine import BUILD
from tbgen.generator.models.config import SHARED_BACKEND, ModelConfig, configs_from_repository
from tbgen.generator.releases import RELEASES, release_named
from tbgen.generator.repository import refuse_empty_repository
from tbgen.generator.role import written_models
from tbgen.server.deploy.launch import (
    EXIT_SECONDS,
    GRPC,
    HTTP,
    KILL_SECONDS,
    METRICS,
    PROXY_IMAGE,
    STOCK_IMAGE,
    USER,
)
from tbgen.server.deploy.places import (
    LONGEST,
    ModelsPlace,
    image_from_text,
    label_from_name,
    models_from_text,
    plain_label,
)
from tbgen.server.deploy.questions import questions_of
from tbgen.server.deploy.sizes import Sizes, sizes_of
from tbgen.server.embedded.process import STACK

DRAIN_SECONDS = 15  # between a pod's being taken out of its Services and SIGTERM: proxies and clients learn of it
EDGE_DRAIN_SECONDS = 5  # before a proxy closes its connections, whose clients then go elsewhere
GRACE_SECONDS = DRAIN_SECONDS + KILL_SECONDS
QUEUE_MILLISECONDS = 50  # that a request may wait, on average, before there are more servers
_OTHER_IMAGE = "an image that has it with --image, which all kinds but image take"
MOST_TIMES = 4  # as many servers as there are at first, at most


@dataclass(frozen=True)
class Wishes:
    """What a person says of a fleet; None: as the repository, or the rules, say it."""

    name: str | None = None
    release: str | None = None
    image: str | None = None
    models: str | None = None
    replicas: int = 2
    cpus: int | None = None
    memory: int | None = None
    canary_of: str | None = None


@dataclass(frozen=True)
class Servers:
    """Servers of one repository.

    image: what runs. models: where it finds them; None: in the image, or in the folder itself. canary_of: the
    fleet whose requests these servers get a share of. plans: the models whose plans are built where they are served.
    questions: by which models are asked whether they live.
    """

    name: str
    release: str
    image: str
    models: ModelsPlace | None
    repository: Path
    replicas: int
    canary_of: str | None
    sizes: Sizes
    plans: tuple[str, ...]
    cached: bool
    questions: Mapping[str, Any]

    @property
    def in_stock_image(self) -> bool:
        """Whether NVIDIA's image runs, which holds no models."""
        return self.image == STOCK_IMAGE.format(self.release)

    @property
    def polled(self) -> bool:
        """Whether the models lie where they may change under a server."""
        return self.models is not None and not self.plans

    def table(self, *, brought: bool = False) -> list[tuple[str, str, str]]:
        """Each computed value: its name, itself, where it comes from; brought: models are there before a server is."""
        sizes = self.sizes
        return [
            (
                "Triton",
                self.release,
                "--triton, else the release whose TensorRT builds the plans, else the newest known",
            ),
            ("image", self.image, "NVIDIA's of that release" if self.in_stock_image else "--image"),
            ("models", str(self.models or "the repository"), "--models, else in the image or the folder itself"),
            ("servers", str(self.replicas), "--replicas, in a cluster"),
            (
                "model control",
                "poll" if self.polled and not brought else "none",
                "poll where others put models into a bucket or volume",
            ),
            ("proxy", PROXY_IMAGE, "HAProxy of the line that tests run"),
            ("ports", f"{HTTP}, {GRPC}; {METRICS} of metrics", "Triton's own; the proxy takes them over"),
            ("stack", f"{STACK >> 20} MiB a thread", "docs/explanation/reliability.md, nested brackets"),
            ("user", str(USER), "`triton-server` in NVIDIA's containers"),
            (
                "shared memory",
                f"{sizes.shared_memory} MiB",
                "the rule of docs/how-to/deploy.md, as the line that scaffold prints",
            ),
            (
                "memory",
                f"{sizes.memory} MiB",
                "the rule of docs/how-to/kubernetes.md, shared memory in it; or --memory",
            ),
            (
                "/tmp",
                f"{sizes.temporary} MiB",
                "1 GiB, five times the archives of packages; a bucket's models beside them",
            ),
            ("CPUs", str(sizes.cpus), "the threads that the configs name, else 2; or --cpus"),
            ("GPUs", str(sizes.gpus), "1 where a config has instances of KIND_GPU, or is TensorRT's"),
            (
                "time to start",
                f"{sizes.startup} s",
                f"120 s, 60 for each GiB of {sizes.files} MiB, 1800 where TensorRT builds",
            ),
            ("time to drain", f"{DRAIN_SECONDS} s", "fixed: endpoints are told of a pod's end within a few seconds"),
            ("time to end", f"{EXIT_SECONDS} s", "tritonserver's --exit-timeout-secs"),
            ("time until killed", f"{GRACE_SECONDS} s", "to drain, to end, and 15 s"),
            ("response cache", "yes" if self.cached else "no", "response_cache in the configs"),
            ("asked by the probe", ", ".join(self.questions), "the models that clients ask"),
        ]


def fleet_of(repository: Path, wishes: Wishes, *, cluster: bool = True, longest: int = LONGEST) -> Servers:
    """The fleet that a person wants of a repository. Raises UserError for what no cluster, or not this image, takes.

    cluster: what is made there has the name, which is made to fit elsewhere where nobody said it. longest: letters of a
    name at most.
    """
    refuse_empty_repository(repository)
    image = image_from_text(wishes.image) if wishes.image else None
    models = models_from_text(wishes.models) if wishes.models else None
    name = wishes.name or (_name_of(repository) if cluster else plain_label(_name_of(repository)))
    name = label_from_name(name, longest)
    elder = label_from_name(wishes.canary_of, longest, option="--canary-of") if wishes.canary_of else None
    if elder == name:
        raise UserError(
            f"{name!r} is no canary of itself; give these servers another name, such as --name {name}-canary"
        )
    plans = tuple(sorted(file.parent.parent.name for file in repository.glob(f"*/{BUILD}") if _is_to_build(file)))
    if models and models.bucket and plans:
        raise UserError(
            f"the plan of {plans[0]} is built where it is served, into its folder, which {models} is not; bring the "
            "models in an image or on a volume (pvc://CLAIM), or build the plan first"
        )
    release = release_named(wishes.release or _builders_release(repository, plans) or max(RELEASES)).name
    _check_served(repository, release, plans, stock=image is None)
    configs = configs_from_repository(repository)
    _refuse_shared_code(configs)
    return Servers(
        name=name,
        release=release,
        image=image or STOCK_IMAGE.format(release),
        models=models,
        repository=repository,
        replicas=wishes.replicas if cluster else 1,
        canary_of=elder,
        sizes=sizes_of(repository, configs, cpus=wishes.cpus, memory=wishes.memory),
        plans=plans,
        cached=any(config.response_cache.enable for config in configs.values()),
        questions=questions_of(repository, configs),
    )


def _is_to_build(script: Path) -> bool:
    """Whether the file that a script builds is not there yet."""
    return not any((script.parents[1] / "1").glob("*.plan"))


def _builders_release(repository: Path, plans: tuple[str, ...]) -> str | None:
    """The release whose TensorRT builds the plans, as their models' records say."""
    written = written_models(repository)
    return next((written[model].settings.get("build_script") for model in plans if model in written), None)


def _check_served(repository: Path, release: str, plans: tuple[str, ...], *, stock: bool) -> None:
    """Raise UserError for a repository that this release does not serve, plans that are still to be built apart.

    stock: it is served by NVIDIA's image, and so has no package that the models do not bring.
    """
    for finding in check_repository(repository, release=release, to_build=plans):
        lacks = stock and finding.says.startswith(NOT_IN_STOCK)
        if lacks or finding.severity == "error":
            other = _OTHER_IMAGE if lacks else "another release with --triton"
            raise UserError(
                f"Triton {release} does not serve {finding.model}: {finding.says.rstrip('.')} ({finding.place}); "
                f"{finding.mend}, or name {other}"
            )


def _refuse_shared_code(configs: Mapping[str, ModelConfig]) -> None:
    """Raise UserError for models whose code lies in a backend that no stock container has."""
    shared = [name for name, config in configs.items() if config.backend == SHARED_BACKEND]
    if shared:
        raise UserError(
            f"{shared[0]} holds no code (--steps backend), and NVIDIA's container has none of it; write it with "
            "--steps copy"
        )


def _name_of(repository: Path) -> str:
    """The name that scaffold was given, where there is one. Raises UserError."""
    names = sorted({model.role.name for model in written_models(repository).values()})
    if len(names) != 1:
        raise UserError(
            f"{str(repository)!r} holds models of {', '.join(names) or 'no name'}; name the servers: --name NAME"
        )
    return names[0]
