"""Where models are put: a folder or an object store, by the name of the target."""

from __future__ import annotations

import errno
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tbgen.export.errors import UserError, require
from tbgen.server.deploy.folder_store import FolderStore
from tbgen.server.deploy.object_store import ObjectStore
from tbgen.server.deploy.places import ENDPOINT
from tbgen.server.deploy.release import Store

_PACKAGES = {"s3": ("s3fs", "s3"), "gs": ("gcsfs", "gs")}  # scheme -> (package, extra)

# What goes wrong between here and a bucket: each scheme's own errors, and what gives credentials.
_FAILURES = {
    "s3": ("botocore.exceptions:BotoCoreError", "botocore.exceptions:ClientError"),
    "gs": ("google.auth.exceptions:GoogleAuthError", "gcsfs.retry:HttpError", "aiohttp:ClientError"),
}
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE), AWS_ENDPOINT_URL for a store of your own",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, the path of a service account's key file; STORAGE_EMULATOR_HOST for a store "
    "of your own",
}


@contextmanager
def bucket_errors(target: str) -> Iterator[None]:
    """Say in one sentence what a bucket's client raises in the block: credentials, address. Raises UserError."""
    scheme = target.partition("://")[0]
    if scheme not in _FAILURES:
        yield
        return
    package, extra = _PACKAGES[scheme]
    require(package, extra=extra)
    named = (kind.split(":") for kind in _FAILURES[scheme])
    kinds = tuple(getattr(importlib.import_module(module), name) for module, name in named)
    try:
        yield
    except (*kinds, PermissionError) as error:
        raise UserError(f"{target}: {str(error).rstrip('.')}; credentials come from {_CREDENTIALS[scheme]}") from error
    except FileNotFoundError as error:
        raise UserError(f"{target}: {str(error).rstrip('.')}; does the bucket exist?") from error
    except OSError as error:
        if error.errno not in (errno.EIO, errno.EBUSY, None):  # as the client translates a store's refusals
            raise
        raise UserError(f"{target}: {str(error).rstrip('.')}") from error


def store_from(target: str) -> Store:
    """The store that a target names: a folder, s3://bucket/path (also s3://http://host:port/bucket/path), gs://...

    Raises UserError, MissingExtra.
    """
    scheme, separator, path = target.partition("://")
    if not separator:
        return FolderStore(Path(target))
    options: dict[str, Any] = {}
    if scheme == "s3" and (address := ENDPOINT.fullmatch(path)):
        options, path = {"endpoint_url": address[1]}, address[2]
    if scheme in _PACKAGES:
        package, extra = _PACKAGES[scheme]
        require(package, extra=extra)
    fsspec = require("fsspec", extra="s3")
    try:
        return ObjectStore(fsspec.filesystem(scheme, **options), path.rstrip("/"))
    except ValueError as error:
        raise UserError(f"{target!r}: {error}; targets are folders, s3://bucket/path and gs://bucket/path") from error
