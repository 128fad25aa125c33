"""The files that pods are given beside their image: the probe's, and the proxy's.

Each part is a ConfigMap, named by its content as a person edits it: a pod keeps those that it began with, and the way
back to an older one is open.
"""

from __future__ import annotations

import json
from pathlib import Path

from tbgen.server.deploy.fleet import Servers
from tbgen.server.deploy.haproxy.files import haproxy_files

_PROGRAM = Path(__file__).parents[1] / "probe.py"


def brought_files(fleet: Servers, server: str = "127.0.0.1") -> dict[str, dict[str, str]]:
    """The probe's files and the proxy's, before the one server there: part -> name -> text."""
    questions = json.dumps(dict(fleet.questions), ensure_ascii=False, indent=1) + "\n"
    return {
        "probe": {"probe.py": _PROGRAM.read_text(encoding="utf-8"), "questions.json": questions},
        "edge": haproxy_files(fleet.repository, [server]),
    }


def brought_by_name(fleet: Servers, server: str = "127.0.0.1") -> dict[str, str]:
    """The same by their names in a folder."""
    brought = brought_files(fleet, server)
    return {f"{part}/{name}": text for part, texts in brought.items() for name, text in texts.items()}
