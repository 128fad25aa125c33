"""What a model was trained to read before each text, such as "query: "."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np


class Prompt:
    """Puts a named prompt before each text.

    Args:
        folder: the version folder; nothing is read from it.
        prompts: name -> the text to put before.
        default: the name used unless a request says otherwise; none: no prompt.
        tensor: the text tensor.
    """

    def __init__(
        self,
        folder: Path,  # noqa: ARG002
        *,
        prompts: Mapping[str, str],
        default: str | None = None,
        tensor: str = "input_text",
    ) -> None:
        self.prompts = dict(prompts)
        self.default = default
        self.inputs = {tensor: ("TYPE_STRING", [1])}
        self.outputs = self.inputs
        self.parameters = {"prompt_name": {"type": "string", "enum": sorted(prompts)}}

    def __call__(self, *, prompt_name: str | None = None, **texts: np.ndarray) -> dict[str, np.ndarray]:
        """The text tensor, (batch, 1) str. Gives it with the prompt before each text."""
        name = prompt_name or self.default
        return {key: self.prompts[name] + values if name else values for key, values in texts.items()}
