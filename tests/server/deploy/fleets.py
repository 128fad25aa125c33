"""Small repositories as tbgen writes them, and what `tbgen deploy` writes of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner, Result

from tbgen.cli.main import main

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


def on_gpu(repository: Path, folder: Path) -> Path:
    """A copy of a repository whose engine wants a GPU."""
    shutil.copytree(repository, folder)
    config = folder / "kcbert_onnx" / "config.pbtxt"
    config.write_text(
        config.read_text(encoding="utf-8").replace("count: 1", "count: 1 kind: KIND_GPU"), encoding="utf-8"
    )
    return folder
