"""Table of what `tbgen deploy` writes files for: a row and a folder each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from tbgen.export.errors import UserError, require
from tbgen.server.deploy.compose.files import compose_files
from tbgen.server.deploy.files import Written, write_files
from tbgen.server.deploy.fleet import Servers, Wishes, fleet_of
from tbgen.server.deploy.helm.chart import chart_files
from tbgen.server.deploy.image.containerfile import image_files
from tbgen.server.deploy.kserve.files import kserve_files
from tbgen.server.deploy.kubernetes.files import kubernetes_files
from tbgen.server.deploy.places import LONGEST


@dataclass(frozen=True)
class Deployment:
    """One kind of deployment.

    files: the text of each file, by name, of servers and the name of their autoscaler. start: the command that puts it
    to work, of the folder. pulls: its image and models come from elsewhere, and must be said. longest: letters of a
    name, of which what is made has longer ones. brings: models out of a bucket or volume, before a server starts.
    packages: that it needs.
    """

    files: Callable[[Servers, str], Mapping[str, str]]
    start: str
    pulls: bool = True
    longest: int = LONGEST
    brings: bool = False
    packages: tuple[str, ...] = ("yaml", "kubernetes_validate")


DEPLOYMENTS = {
    "image": Deployment(
        image_files,
        "podman build -f {folder}/Containerfile -t REGISTRY/{name}:TAG {repository}",
        pulls=False,
        packages=(),
    ),
    "compose": Deployment(compose_files, "docker compose -f {folder}/compose.yaml up --wait", pulls=False),
    "kubernetes": Deployment(kubernetes_files, "kubectl apply -k {folder}", longest=LONGEST - len("-headless")),
    "kserve": Deployment(
        kserve_files, "kubectl apply -k {folder}", longest=LONGEST - len("isvc.-predictor"), brings=True
    ),
    "helm": Deployment(chart_files, "helm install {name} {folder}", longest=53),  # of a release
}
_README = """# {name}: servers of {models}, for {kind}

Written by `tbgen deploy {kind}`, which writes it anew with what has changed and keeps what you edit here. Start:
`{start}`. What it all does, and what was tried: docs/how-to/kubernetes.md of tbgen.

| value | here | where it comes from |
|---|---|---|
{rows}
"""


def write_deployment(
    kind: str, repository: Path, folder: Path, wishes: Wishes, *, autoscaler: str = "none", force: bool = False
) -> tuple[str, list[Written]]:
    """Write the files of a kind of deployment into a folder; how it is started, and what became of each file.

    Raises UserError; then nothing was written.
    """
    deployment = DEPLOYMENTS[kind]
    for package in deployment.packages:
        require(package, extra="deploy")
    if folder.resolve().is_relative_to(repository.resolve()):
        raise UserError(
            f"{str(folder)!r} lies in the model repository, where Triton takes it for a model; name another"
        )
    if deployment.pulls and not (wishes.image or wishes.models):
        raise UserError(
            "a cluster has to find the models: bring them in an image (tbgen deploy image) and name it, --image "
            "REGISTRY/NAME:TAG, or say where they lie, --models s3://BUCKET/PATH, gs://BUCKET/PATH or pvc://CLAIM/PATH"
        )
    fleet = fleet_of(repository, wishes, cluster=deployment.pulls, longest=deployment.longest)
    start = deployment.start.format(folder=quote(str(folder)), name=fleet.name, repository=quote(str(repository)))
    rows = "\n".join(
        f"| {name} | {value} | {source} |" for name, value, source in fleet.table(brought=deployment.brings)
    )
    models = ", ".join(f"`{name}`" for name in fleet.questions)
    readme = _README.format(name=fleet.name, models=models, kind=kind, start=start, rows=rows)
    return start, write_files(folder, kind, {"README.md": readme, **deployment.files(fleet, autoscaler)}, force=force)
