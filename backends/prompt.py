"""What a model was trained to read before each text, such as "query: "."""

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
        lengths: name -> tokens of the prompt, the special ones before it included; if given, the step gives
            prompt_length too, for a step that leaves the prompt's tokens out.
    """

    def __init__(
        self,
        folder: Path,  # noqa: ARG002
        *,
        prompts: Mapping[str, str],
        default: str | None = None,
        tensor: str = "input_text",
        lengths: Mapping[str, int] | None = None,
    ) -> None:
        self.prompts = dict(prompts)
        self.default = default
        self.lengths = lengths
        self.inputs = {tensor: ("TYPE_STRING", [1])}
        self.outputs = self.inputs | ({"prompt_length": ("TYPE_INT32", [1])} if lengths is not None else {})
        self.parameters = {"prompt_name": {"type": "string", "enum": sorted(prompts)}}

    def __call__(self, *, prompt_name: str | None = None, **texts: np.ndarray) -> dict[str, np.ndarray]:
        """The text tensor, (batch, 1) str. Gives it with the prompt before each text; and prompt_length (batch, 1)."""
        name = prompt_name or self.default
        answer = {key: self.prompts[name] + values if name else values for key, values in texts.items()}
        if self.lengths is not None:
            length = self.lengths[name] if name else 0
            answer["prompt_length"] = np.full((len(next(iter(texts.values()))), 1), length, dtype=np.int32)
        return answer
