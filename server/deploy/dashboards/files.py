"""A dashboard for Grafana, rules and a scrape configuration for Prometheus: what watches servers of tbgen's models."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tbgen.export.errors import UserError, require
from tbgen.server.deploy.documents import yaml_from
from tbgen.server.deploy.launch import METRICS, SCRAPE_INTERVAL
from tbgen.server.deploy.places import host_and_ports
from tbgen.server.deploy.promql import JOB

DASHBOARD, RULES, SCRAPE = "dashboard.json", "rules.yml", "prometheus.yml"
_FOLDER = Path(__file__).parent
_SOURCE = {"type": "prometheus", "uid": "${source}"}
_WIDTH, _HEIGHT = 12, 8  # of a graph; the page is 24 wide
_HEAD = "# What Prometheus reads of these servers, and how often; start: prometheus --config.file=prometheus.yml\n"


def dashboard_files(servers: Sequence[str]) -> dict[str, str]:
    """The files by name; servers: HOST or HOST:PORT of their metrics. Raises UserError."""
    yaml = require("yaml", extra="deploy")
    panels = yaml.safe_load((_FOLDER / "panels.yml").read_text(encoding="utf-8"))
    return {
        DASHBOARD: json.dumps(_dashboard(panels), indent=1, ensure_ascii=False) + "\n",
        RULES: (_FOLDER / RULES).read_text(encoding="utf-8"),
        SCRAPE: yaml_from([_scrape([_place(server) for server in servers])], head=_HEAD),
    }


def _place(server: str) -> str:
    """HOST:PORT, by default that of Triton's metrics. Raises UserError."""
    found = host_and_ports(server, METRICS)
    if not found:
        raise UserError(f"{server!r} is no address of metrics: write HOST, whose port is {METRICS}, or HOST:PORT")
    return f"{found[0]}:{found[1][0]}"


def _scrape(places: Sequence[str]) -> dict[str, Any]:
    """Prometheus' configuration."""
    return {
        "global": dict.fromkeys(("scrape_interval", "evaluation_interval"), SCRAPE_INTERVAL),
        "rule_files": [RULES],
        "scrape_configs": [{"job_name": JOB, "static_configs": [{"targets": list(places)}]}],
    }


def _dashboard(panels: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What Grafana imports: the graphs, two in a row, for the models that are chosen."""
    return {
        "title": "tbgen on Triton",
        "uid": "tbgen-triton",
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": list(_variables())},
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }


def _variables() -> Iterator[dict[str, Any]]:
    """What is chosen at the top of the page: where Prometheus is, and models."""
    yield {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    models = "label_values(nv_inference_request_success, model)"
    yield {
        "name": "model",
        "label": "Models",
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": models, "refId": "models"},
        "refresh": 2,  # when the range of time changes
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"text": "All", "value": "$__all"},
    }


def _panel(number: int, panel: Mapping[str, Any]) -> dict[str, Any]:
    """A graph, in its place on the page."""
    row, column = divmod(number, 2)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel["title"],
        "description": panel["answers"],
        "datasource": _SOURCE,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel["unit"], "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": _SOURCE, "expr": query.strip(), "legendFormat": legend}
            for place, (legend, query) in enumerate(panel["queries"].items())
        ],
    }
