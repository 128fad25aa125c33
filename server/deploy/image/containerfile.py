"""The folder of `tbgen deploy image`: a Containerfile that puts a repository into NVIDIA's container as it is."""

from __future__ import annotations

import json

from tbgen.export.errors import UserError
from tbgen.generator.models.config import CACHE_ARGUMENT
from tbgen.generator.names import ADDRESS_WORD, NAME_MEND
from tbgen.generator.repository import model_folders
from tbgen.server.deploy.fleet import Servers
from tbgen.server.deploy.launch import ENVIRONMENT, MODELS, STOCK_IMAGE, USER, server_command


def image_files(fleet: Servers, _: str = "") -> dict[str, str]:
    """The text of each file, by name. Raises UserError for models that the image's user could not read."""
    folders = model_folders(fleet.repository)
    if odd := next((folder.name for folder in folders if not ADDRESS_WORD.fullmatch(folder.name)), None):
        raise UserError(f"{odd!r} is no name that a Containerfile copies as it is; {NAME_MEND}")
    links = next((entry for folder in folders for entry in folder.rglob("*") if entry.is_symlink()), None)
    if links:
        raise UserError(f"{links} is a link, which an image would keep as it is; put the file itself there")
    words = [CACHE_ARGUMENT] if fleet.cached else []
    lines = [
        f"# Build: podman build -f Containerfile -t REGISTRY/{fleet.name}:TAG REPOSITORY (or docker buildx build).",
        "# Nothing is installed; the models are read by anybody and written by nobody.",
        f"FROM {STOCK_IMAGE.format(fleet.release)}",
        "ENV " + " ".join(f"{name}={value}" for name, value in ENVIRONMENT.items()),
        *(f"COPY --chmod=0555 {json.dumps([folder.name, f'{MODELS}/{folder.name}'])}" for folder in folders),
        f"USER {USER}:{USER}",
        f"CMD {json.dumps(server_command(MODELS, *words))}",
    ]
    return {"Containerfile": "\n".join(lines) + "\n"}
