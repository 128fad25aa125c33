"""The code of the steps as a Python-based backend: once in a server, instead of a copy in each model."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import tbgen.backends
from tbgen.generator.models.config import SHARED_BACKEND
from tbgen.generator.models.graph import GraphModel, PythonModel
from tbgen.generator.publishing import publish, staging_folder
from tbgen.generator.repository import existing_model, refuse_to_overwrite, write_record
from tbgen.generator.steps.vendor import vendor_into
from tbgen.generator.version import version


def in_form(models: Iterable[GraphModel], form: str) -> list[GraphModel]:
    """The same models with the code of their steps copied into each, or left to the backend."""
    backend = SHARED_BACKEND if form == "backend" else "python"
    return [replace(model, backend=backend) if isinstance(model, PythonModel) else model for model in models]


def write_backend(folder: Path) -> Path:
    """Write the backend's files into a new folder of a server's backend directory, and return it."""
    backend = folder / SHARED_BACKEND
    backend.mkdir(parents=True)
    for file in sorted(Path(next(iter(tbgen.backends.__path__))).glob("[a-z]*.py")):
        shutil.copyfile(file, backend / file.name)
    return backend


def install_backend(folder: Path, *, platform: str | None = None, force: bool = False) -> Path:
    """Put the backend into a server's backend directory, with packages for `platform`; whole or not at all.

    One that tbgen wrote before is replaced; with `force` any. Raises UserError.
    """
    with staging_folder(folder) as staging:
        backend = write_backend(staging)
        if platform:
            vendor_into([backend], platform)
        write_record(backend, {"tbgen": version(), "source": {}})

        def still_right() -> None:
            if not force:
                refuse_to_overwrite(existing_model(folder / SHARED_BACKEND), {})

        publish(staging, folder, [SHARED_BACKEND], still_right)
    return folder / SHARED_BACKEND
