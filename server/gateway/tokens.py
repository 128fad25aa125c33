"""Which tokens an engine reads of a request: the model's own steps before its engine, run in the gateway beside it.

So a count is that of the model's tokenizer, prompts and lengths, in each graph, and no other request pays for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from tbgen.backends.text_tokenizer import characters
from tbgen.generator.compare.example import Item
from tbgen.server.gateway.models import FrontModel
from tbgen.server.gateway.no_answer import NoAnswer
from tbgen.server.gateway.steps import steps_of_model

_MOST_LISTED = 1_000_000  # characters; a token that is listed takes some 600 bytes


class Tokens:
    """Counts and lists tokens in a thread of its own: steps keep no state, but a tokenizer's settings change."""

    def __init__(self) -> None:
        self.thread = ThreadPoolExecutor(1, "tokens")

    async def count(self, model: FrontModel, items: Sequence[Item], parameters: Mapping[str, Any]) -> int | None:
        """The tokens that the engine reads of all items; None where the model's steps are not at hand."""
        return await asyncio.get_running_loop().run_in_executor(self.thread, self._count, model, items, parameters)

    async def listed(
        self, model: FrontModel, texts: Sequence[str], special: bool, prompt_name: str | None = None
    ) -> list[list[dict[str, Any]]]:
        """Each text's tokens, uncut: id, text, special, start, stop in characters. Raises NoAnswer."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.thread, self._listed, model, texts, special, prompt_name)

    def close(self) -> None:
        self.thread.shutdown(wait=False, cancel_futures=True)

    def _count(self, model: FrontModel, items: Sequence[Item], parameters: Mapping[str, Any]) -> int | None:
        try:
            steps = steps_of_model(model).before
            return sum(_tokens_read(steps, tensors, parameters) for tensors in _batches(items))
        except Exception:  # noqa: BLE001 - whatever a step of one's own raises here, the model's answer is right
            return None

    def _listed(
        self, model: FrontModel, texts: Sequence[str], special: bool, prompt_name: str | None
    ) -> list[list[dict[str, Any]]]:
        steps = steps_of_model(model)
        if prompt_name is not None and prompt_name not in steps.prompts:
            raise NoAnswer(400, f"no prompt {prompt_name!r}. Prompts: {', '.join(sorted(steps.prompts)) or 'none'}")
        texts = [steps.prompts[prompt_name] + text for text in texts] if prompt_name else texts
        if (count := characters("".join(texts))) > _MOST_LISTED:
            raise NoAnswer(413, f"{count} characters in all; the tokens of at most {_MOST_LISTED} are listed")
        encodings = steps.tokenizer.encode_batch(list(texts), add_special_tokens=special)
        return [_token_list(text, each) for text, each in zip(texts, encodings, strict=True)]


def _batches(items: Sequence[Item]) -> Iterator[dict[str, np.ndarray]]:
    """Items of single texts as one batch, others one by one, as the steps take them."""
    if all(isinstance(value, str) for item in items for value in item.values()):
        yield {name: np.array([[item[name]] for item in items], dtype=object) for name in items[0]}
        return
    for item in items:
        lists = {name: value if isinstance(value, list) else [value] for name, value in item.items()}
        yield {name: np.array([value], dtype=object) for name, value in lists.items()}


def _tokens_read(steps: Sequence[Any], tensors: dict[str, np.ndarray], parameters: Mapping[str, Any]) -> int:
    """The tokens of all rows that the steps make of a batch, padding left out."""
    for step in steps:
        more = {name: value for name, value in parameters.items() if name in getattr(step, "parameters", {})}
        tensors = tensors | step(**{name: tensors[name] for name in step.inputs}, **more)
    return int(tensors["attention_mask"].sum())


def _token_list(text: str, encoding: Any) -> list[dict[str, Any]]:
    """What TEI says of each token: one that stands for no characters is special, and has no place."""
    rows = zip(encoding.ids, encoding.tokens, encoding.offsets, encoding.special_tokens_mask, strict=True)
    return [
        {
            "id": number,
            "text": token if special else text[start:stop],
            "special": bool(special),
            "start": None if special else start,
            "stop": None if special else stop,
        }
        for number, token, (start, stop), special in rows
    ]
