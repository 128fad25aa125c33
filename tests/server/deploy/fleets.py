"""Small repositories as tbgen writes them, and what `tbgen deploy` writes of them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner, Result

from tbgen.cli.main import main
from tests.tools import tool

IMAGE = ("--image", "ghcr.io/you/kcbert:1")


def deploy(kind: str, repository: Path, output: Path, *arguments: str) -> Result:
    """`tbgen deploy KIND REPOSITORY -o OUTPUT ...`."""
    return CliRunner().invoke(main, ["deploy", kind, str(repository), "-o", str(output), *arguments])


def written(kind: str, repository: Path, output: Path, *arguments: str) -> Path:
    """The folder that it wrote."""
    done = deploy(kind, repository, output, *arguments)
    assert done.exit_code == 0, done.output
    return output


def documents(folder: Path) -> list[dict[str, Any]]:
    """The objects that a kustomization lists, in order."""
    resources = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    return [each for name in resources for each in yaml.safe_load_all((folder / name).read_text(encoding="utf-8"))]


def of_kind(folder: Path, kind: str) -> dict[str, Any]:
    """The first object of a kind."""
    return next(each for each in documents(folder) if each["kind"] == kind)


def kubectl(*arguments: str | Path) -> str:
    """What kubectl says; without a cluster it reads files all the same."""
    environment = {**os.environ, "KUBECONFIG": os.devnull}
    done = subprocess.run([tool("kubectl"), *arguments], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def built(folder: Path) -> list[dict[str, Any]]:
    """All objects that a cluster is given of a kustomization."""
    return list(yaml.safe_load_all(kubectl("kustomize", folder)))


def configs(objects: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """The files in the ConfigMaps among objects, by their names; no pod's changes."""
    found = {each["metadata"]["name"]: each for each in objects if each["kind"] == "ConfigMap"}
    assert all(each["immutable"] for each in found.values())
    return {name: each["data"] for name, each in found.items()}


def configs_named(spec: dict[str, Any]) -> set[str]:
    """The ConfigMaps that a pod names."""
    return {each["configMap"]["name"] for each in spec["volumes"] if "configMap" in each}


def on_gpu(repository: Path, folder: Path) -> Path:
    """A copy of a repository whose engine wants a GPU."""
    shutil.copytree(repository, folder)
    config = folder / "kcbert_onnx" / "config.pbtxt"
    config.write_text(
        config.read_text(encoding="utf-8").replace("count: 1", "count: 1 kind: KIND_GPU"), encoding="utf-8"
    )
    return folder
