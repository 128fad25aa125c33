"""Debian's Prometheus, on what `tbgen deploy dashboards` writes."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tbgen.server.embedded.ports import free_ports
from tests.waiting import wait_until

NEEDS_PROMETHEUS = pytest.mark.skipif(shutil.which("prometheus") is None, reason="no prometheus on this machine")
Series = dict[tuple[str, ...], float]


class Prometheus:
    """Asks a running Prometheus."""

    def __init__(self, address: str) -> None:
        self.address = address

    def api(self, path: str, **values: str) -> Any:
        """What one of its addresses answers."""
        with urllib.request.urlopen(f"{self.address}/api/v1/{path}?{urllib.parse.urlencode(values)}") as answer:
            return json.load(answer)["data"]

    def ready(self) -> bool:
        try:
            return bool(self.api("status/buildinfo"))
        except OSError:
            return False

    def values(self, expression: str, *labels: str) -> Series:
        """The values now, by these labels of theirs."""
        rows = self.api("query", query=expression)["result"]
        return {tuple(row["metric"].get(label, "") for label in labels): float(row["value"][1]) for row in rows}

    def firing(self) -> set[tuple[str, str]]:
        """Name and model of each alert that fires."""
        rows = [row for row in self.api("alerts")["alerts"] if row["state"] == "firing"]
        return {(row["labels"]["alertname"], row["labels"].get("model", "")) for row in rows}


@contextmanager
def prometheus(config: Path, data: Path) -> Iterator[Prometheus]:
    """A Prometheus of this configuration, ready, killed at the end."""
    place = f"127.0.0.1:{free_ports(1)[0]}"
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={data}",
        f"--web.listen-address={place}",
        "--log.level=error",
    ]
    with subprocess.Popen(command) as process:
        try:
            asked = Prometheus(f"http://{place}")
            wait_until(lambda: process.poll() is not None or asked.ready())
            yield asked
        finally:
            process.kill()
