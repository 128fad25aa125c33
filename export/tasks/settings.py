"""What the tasks' files share: rules of options, and how options and an exported model become a step's settings."""

from __future__ import annotations

from typing import Any

from tbgen.export.exported import Exported
from tbgen.export.tasks.task import Options, Step

FLAG = {"type": "boolean"}
TEXT = {"type": "string"}
COUNT = {"type": "integer", "minimum": 1, "maximum": 1_000_000}
PAIR: dict[str, Any] = {"texts": ["input_text", "text_pair"]}


def option_settings(options: Options, *names: str) -> dict[str, Any]:
    """Those of the named options that a person set, as settings of a step; json and logits as extras."""
    settings = {name: options[name] for name in names if name in options}
    extras = [name for name in ("logits", "json") if name in names and settings.pop(name, False)]
    return settings | ({"extras": extras} if extras else {})


def output_width(exported: Exported) -> int:
    """Size of the last axis of the engine's output: classes, hidden states or vocabulary."""
    return int(exported.outputs["outputs"].shape[-1])


def ids_type(exported: Exported) -> str:
    """Data type of the token tensors."""
    return f"TYPE_{exported.inputs['input_ids'].dtype.upper()}"


def merge(exported: Exported, rule: str, **settings: Any) -> Step:
    """One vector for each text from those of its windows."""
    return Step("merge.py", "Merge", {"rule": rule, "size": output_width(exported)} | settings)
