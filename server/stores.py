"""Where models are put: a folder or an object store, by the name of the target."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tbgen.export.errors import UserError, require
from tbgen.server.folder_store import FolderStore
from tbgen.server.object_store import ObjectStore

Store = FolderStore | ObjectStore
PACKAGES = {"s3": ("s3fs", "s3"), "gs": ("gcsfs", "gs")}  # scheme -> (package, extra)


def store_from(target: str) -> Store:
    """The store that a target names: a folder, s3://bucket/path (also s3://http://host:port/bucket/path), gs://...

    Raises UserError, MissingExtra.
    """
    scheme, separator, path = target.partition("://")
    if not separator:
        return FolderStore(Path(target))
    options: dict[str, Any] = {}
    if scheme == "s3" and (address := re.fullmatch(r"(https?://[^/]+)/(.+)", path)):
        options, path = {"endpoint_url": address[1]}, address[2]  # as tritonserver writes it
    if scheme in PACKAGES:
        package, extra = PACKAGES[scheme]
        require(package, extra=extra)
    fsspec = require("fsspec", extra="s3")
    try:
        return ObjectStore(fsspec.filesystem(scheme, **options), path.rstrip("/"))
    except ValueError as error:
        raise UserError(f"{target!r}: {error}; targets are folders, s3://bucket/path and gs://bucket/path") from error
