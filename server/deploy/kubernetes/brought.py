"""The files that pods are given beside their image, each set in a ConfigMap named by its content: a pod keeps those
that it began with, and the way back to an older one is open.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

from tbgen.server.deploy.documents import CLOSE, OPEN
from tbgen.server.deploy.fleet import Servers
from tbgen.server.deploy.haproxy.files import haproxy_files

_PROGRAM = Path(__file__).parents[1] / "probe.py"
_MARK = 8  # letters of a hash


def brought_files(fleet: Servers, server: str = "127.0.0.1") -> dict[str, dict[str, str]]:
    """The probe's files and the proxy's, before the one server there: part -> name -> text."""
    questions = json.dumps(dict(fleet.questions), ensure_ascii=False, indent=1) + "\n"
    return {
        "probe": {"probe.py": _PROGRAM.read_text(encoding="utf-8"), "questions.json": questions},
        "edge": haproxy_files(fleet.repository, [server]),
    }


def config_name(v: SimpleNamespace, part: str) -> str:
    """The name of the ConfigMap of a part."""
    return f"{v.name}-{part}-{_mark(v.files[part].values())}"


def _mark(texts: Iterable[str]) -> str:
    """What tells files' texts from others; also those that a chart brings."""
    whole = "".join(texts)
    if whole.startswith(OPEN):
        inside = whole.strip(OPEN + CLOSE).replace(CLOSE + OPEN, ") (")
        return f"{OPEN}print ({inside}) | sha256sum | trunc {_MARK}{CLOSE}"
    return hashlib.sha256(whole.encode("utf-8")).hexdigest()[:_MARK]
