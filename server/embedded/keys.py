"""The key of a server: loading, logging, tracing and shared memory answer only to requests that carry it.

It lies in the server's folder, which only its user may read: tbgen's own commands on this machine find it there.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tbgen.server.client.address import is_local
from tbgen.server.embedded.leftovers import PREFIX

# What Triton lets every client do unless it restricts it: the API's name in its options -> the client's call of it.
OWNER_APIS = {
    "model-repository": "get_model_repository_index",
    "shared-memory": "get_system_shared_memory_status",
    "trace": "get_trace_settings",
    "logging": "get_log_settings",
}
_HEADERS = {"http": "tbgen-key", "grpc": "triton-grpc-protocol-tbgen-key"}  # the second as Triton makes it of the first
_FILE = "key.json"


def restrictions(key: str) -> list[str]:
    """What tells tritonserver (24.10 knows it) to ask for the key."""
    rule = f"{','.join(OWNER_APIS)}:{_HEADERS['http']}={key}"
    return [f"--http-restricted-api={rule}", f"--grpc-restricted-protocol={rule}"]


def headers(key: str, protocol: str) -> dict[str, str]:
    """What a request must carry; protocol: "http" or "grpc"."""
    return {_HEADERS[protocol]: key}


def write_key(folder: Path, key: str, places: Mapping[str, str]) -> None:
    """Leave the key in a server's folder; places: protocol -> HOST:PORT."""
    (folder / _FILE).write_text(json.dumps({"key": key, "places": dict(places)}), encoding="utf-8")


def headers_of(place: str, protocol: str) -> dict[str, str]:
    """What a server of this user at HOST:PORT of this machine asks for; empty where there is none."""
    for file in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{_FILE}"):
        with contextlib.suppress(OSError, ValueError, KeyError):  # just removed, or not ours
            if file.stat().st_uid != os.getuid():
                continue
            known = json.loads(file.read_text(encoding="utf-8"))
            own = known["places"][protocol]
            both_local = is_local(own) and is_local(place)  # others of this machine may have the port, too
            if own == place or (both_local and own.rpartition(":")[2] == place.rpartition(":")[2]):
                return headers(known["key"], protocol)
    return {}
