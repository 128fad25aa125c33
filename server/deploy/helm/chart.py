"""The folder of `tbgen deploy helm`: a chart whose templates are the objects of `tbgen deploy kubernetes`, their values
left to Helm.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tbgen.server.deploy.documents import CLOSE, OPEN, YamlObject, yaml_from
from tbgen.server.deploy.fleet import Servers
from tbgen.server.deploy.kubernetes.brought import brought_by_name, brought_files
from tbgen.server.deploy.kubernetes.objects import made, server_files
from tbgen.server.deploy.kubernetes.scaling import ADAPTER, adapter_text, autoscalers, pod_monitor
from tbgen.server.deploy.kubernetes.values import chart_fleet, fleet_values, text_in_chart
from tbgen.server.deploy.launch import AUTOSCALERS
from tbgen.server.deploy.places import TAGGED

_NOTES = Path(__file__).with_name("notes.txt")
_VERSION = "0.1.0"  # of the chart: who publishes it counts on
_OLDEST = ">=1.30.0-0"  # Kubernetes, for a pause before a container's end
_VALUE = re.compile(f'"{OPEN}([^{CLOSE}]*){CLOSE}"')
_PART = re.compile(f"{OPEN}([^{CLOSE}]*){CLOSE}")
# A line of a template -> when it is there.
_CONDITIONS = {
    "  replicas: ": 'eq .Values.autoscaler "none"',
    '"asked-as-{{ .Values.canaryOf }}": ': ".Values.canaryOf",
}
_PATTERNS = {
    "image": re.sub(r"\?P<\w+>", "", TAGGED.pattern),
    "cpu": r"[0-9]+(\.[0-9]+)?|[0-9]+m",
    **dict.fromkeys(("memory", "sharedMemory", "temporary"), r"[0-9]+(Ki|Mi|Gi)"),
    "queueMilliseconds": r"[0-9]+",
    "prometheus": r"https?://.+",
    "models": r"(s3|gs)://.+",
}


def chart_files(fleet: Servers, autoscaler: str) -> dict[str, str]:
    """The text of each file, by name."""
    values = fleet_values(fleet, autoscaler)
    about = {
        "apiVersion": "v2",
        "name": fleet.name,
        "description": f"Triton with {', '.join(fleet.questions)}",
        "type": "application",
        "version": _VERSION,
        "appVersion": fleet.release,
        "kubeVersion": _OLDEST,
    }
    said = "\n".join(f"# {meaning}\n{yaml_from([{key: value}])}" for key, (value, meaning) in values.items())
    return {
        "Chart.yaml": yaml_from([about]),
        "values.yaml": said,
        "values.schema.json": json.dumps(_schema(values), indent=2) + "\n",
        "templates/NOTES.txt": _NOTES.read_text(encoding="utf-8").replace("MODELS", shlex.join(fleet.questions)),
        **{f"templates/{name}": text for name, text in _templates(fleet).items()},
        **brought_by_name(fleet),
        ADAPTER: adapter_text(fleet),
    }


def _templates(fleet: Servers) -> dict[str, str]:
    """The templates by name, those of an autoscaler only where it is wanted."""
    v = chart_fleet(fleet)
    objects = {f"{part}.yaml": [_config(v, part, texts)] for part, texts in brought_files(fleet).items()}
    objects |= server_files(fleet, v)
    templates = {name: _template(documents) for name, documents in objects.items()}
    for kind, document in autoscalers(fleet, v).items():
        templates[f"{kind}.yaml"] = _when(f'eq .Values.autoscaler "{kind}"', _template([document]))
    templates["monitoring.yaml"] = _when('ne .Values.autoscaler "none"', _template([pod_monitor(v)]))
    return templates


def _config(v: SimpleNamespace, part: str, names: Iterable[str]) -> YamlObject:
    """The files of a part, which nobody changes under the pods that have them."""
    data = {name: f"{OPEN}{text_in_chart(part, name)}{CLOSE}" for name in names}
    return made("v1", "ConfigMap", v, v.configs[part], data=data, immutable=True)


def _template(documents: list[YamlObject]) -> str:
    """Documents in which Helm puts its values: whole ones as JSON, which YAML reads as they are, parts as text."""
    lines = []
    for line in yaml_from(documents).splitlines(keepends=True):
        whole = _VALUE.sub(lambda found: f"{{{{ {_unquoted(found[1])} | toJson }}}}", line)
        filled = _PART.sub(lambda found: f"{{{{ {_unquoted(found[1])} }}}}", whole)
        condition = next((when for begin, when in _CONDITIONS.items() if begin in filled), None)
        lines.append(_when(condition, filled) if condition else filled)
    return "".join(lines)


def _unquoted(expression: str) -> str:
    """An expression of Helm's without the escapes of YAML's quotes."""
    return expression.replace('\\"', '"')


def _when(condition: str, text: str) -> str:
    """Text that is there on a condition."""
    return f"{{{{- if {condition} }}}}\n{text}{{{{- end }}}}\n"


def _schema(values: dict[str, tuple[Any, str]]) -> dict[str, Any]:
    """What Helm takes as values, and nothing else."""
    properties: dict[str, Any] = {}
    for key, (value, meaning) in values.items():
        rule = {"type": "integer", "minimum": 1} if isinstance(value, int) else {"type": "string", "minLength": 1}
        if key in _PATTERNS:
            rule["pattern"] = f"^({_PATTERNS[key]})$"
        properties[key] = {"description": meaning, **rule}
    properties["autoscaler"]["enum"] = [*AUTOSCALERS]
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {**properties, "global": {"type": "object"}},
        "required": [*values],
        "additionalProperties": False,
    }
