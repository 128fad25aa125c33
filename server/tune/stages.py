"""Where `tbgen tune` tries a setting: a copy of the repository on the embedded server, or a running Triton's own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tbgen.export.errors import UserError
from tbgen.export.files import write_whole
from tbgen.export.scratch import temporary_folder
from tbgen.generator.repository import model_folders
from tbgen.server.client.address import Address
from tbgen.server.client.connection import Connection
from tbgen.server.embedded.server import server_on_free_ports

Edits = Mapping[Path, str]  # file, relative to the repository -> its new text


class EmbeddedStage:
    """Starts the embedded server on a copy of the models for each trial; the repository itself is not touched."""

    def __init__(self, repository: Path) -> None:
        self.repository = repository

    @contextmanager
    def serving(self, edits: Edits, models: Sequence[str]) -> Iterator[Address]:
        """Serve `models` as edited; gives the HTTP address. Raises UserError when they do not load."""
        with temporary_folder(self.repository.resolve().parent, ".tbgen-tune-") as folder:
            trial = folder / "model_repository"
            for model in models or [each.name for each in model_folders(self.repository)]:
                shutil.copytree(self.repository / model, trial / model, copy_function=_linked)
            write_edits(trial, edits)
            with server_on_free_ports(trial) as server:
                yield Address(server.http_url, "http")


class LiveStage:
    """Edits the repository of a running Triton in place, has it load what changed, and puts everything back.

    The server must allow loading by request (--model-control-mode=explicit), and `repository` must be the folder that
    it reads.
    """

    def __init__(self, repository: Path, address: Address) -> None:
        self.repository, self.address = repository, address

    @contextmanager
    def serving(self, edits: Edits, models: Sequence[str]) -> Iterator[Address]:
        """Load `models` as edited; gives the address. Raises UserError when they do not load."""
        before = {file: (self.repository / file).read_text(encoding="utf-8") for file in edits}
        changed = {file.parts[0] for file in edits}
        try:
            write_edits(self.repository, edits)
            self.load([model for model in models if model in changed])
            yield self.address
        finally:
            write_edits(self.repository, before)
            self.load([model for model in models if model in changed])

    def load(self, models: Sequence[str]) -> None:
        """Have the server read models again. Raises UserError."""
        with Connection(self.address) as connection:
            for model in models:
                with connection.failures(f"cannot load {model!r} (it needs --model-control-mode=explicit)"):
                    connection.client.load_model(model, **connection.options())


def _linked(source: str, target: str) -> str:
    """Link a file instead of copying its bytes, where the disk allows it."""
    try:
        os.link(Path(source).resolve(), target)
    except OSError:
        shutil.copy2(source, target)
    return target


def write_edits(repository: Path, edits: Edits) -> None:
    """Write each file whole or not at all, and never through a hard link."""
    for file, text in edits.items():
        target = repository / file
        if not target.parent.is_dir():
            raise UserError(f"no folder {str(target.parent)!r}: is {str(repository)!r} the server's model repository?")
        write_whole(target, text.encode("utf-8"))
