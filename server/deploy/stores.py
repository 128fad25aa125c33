"""Where models are put: a folder or an object store, by the name of the target."""

from __future__ import annotations

import errno
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tbgen.export.errors import UserError, require
from tbgen.server.deploy.folder_store import FolderStore
from tbgen.server.deploy.object_store import ObjectStore
from tbgen.server.deploy.places import ENDPOINT
from tbgen.server.deploy.release import Store


@dataclass(frozen=True)
class _Scheme:
    """A kind of bucket: what reaches it and the extra that brings that, its own errors, what gives credentials."""

    package: str
    extra: str
    errors: tuple[str, ...]
    credentials: str


_SCHEMES = {
    "s3": _Scheme(
        "s3fs",
        "s3",
        ("botocore.exceptions:BotoCoreError", "botocore.exceptions:ClientError"),
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE), AWS_ENDPOINT_URL for a store of your own",
    ),
    "gs": _Scheme(
        "gcsfs",
        "gs",
        ("google.auth.exceptions:GoogleAuthError", "gcsfs.retry:HttpError", "aiohttp:ClientError"),
        "GOOGLE_APPLICATION_CREDENTIALS, the path of a service account's key file; STORAGE_EMULATOR_HOST for a store "
        "of your own",
    ),
}


@contextmanager
def bucket_errors(target: str) -> Iterator[None]:
    """Say in one sentence what a bucket's client raises in the block: credentials, address. Raises UserError."""
    scheme = _SCHEMES.get(target.partition("://")[0])
    if scheme is None:
        yield
        return
    require(scheme.package, extra=scheme.extra)
    named = (kind.split(":") for kind in scheme.errors)
    kinds = tuple(getattr(importlib.import_module(module), name) for module, name in named)
    try:
        yield
    except (*kinds, PermissionError) as error:
        raise UserError(f"{target}: {str(error).rstrip('.')}; credentials come from {scheme.credentials}") from error
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
    if target and not separator:
        return FolderStore(Path(target))
    if scheme not in _SCHEMES or not path:
        raise UserError(f"{target!r} names no target; targets are folders, s3://bucket/path and gs://bucket/path")
    options: dict[str, Any] = {}
    if scheme == "s3" and (address := ENDPOINT.fullmatch(path)):
        options, path = {"endpoint_url": address[1]}, address[2]
        try:
            urlsplit(address[1])
        except ValueError as error:
            raise UserError(f"{target!r}: {error}") from error
    require(_SCHEMES[scheme].package, extra=_SCHEMES[scheme].extra)
    fsspec = require("fsspec", extra="s3")
    return ObjectStore(fsspec.filesystem(scheme, **options), path.rstrip("/"))
