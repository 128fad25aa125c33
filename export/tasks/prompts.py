"""What stands before a text: the prompts that a sentence-transformers folder names, or a person."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tbgen.export.errors import UserError
from tbgen.export.exported import Exported
from tbgen.export.tasks.settings import TEXT
from tbgen.export.tasks.task import Options, Step, Steps
from tbgen.export.tokenizers.tokenizer import tokenizer_from_file

PROMPT_OPTIONS: dict[str, Any] = {"prompts": {"type": "object"}, "default_prompt": TEXT}


def named_prompts(exported: Exported, options: Options) -> dict[str, str]:
    """The prompts that a request may name."""
    named: dict[str, str] = options.get("prompts", exported.sentence.get("prompts")) or {}
    return named


def skips_prompt(exported: Exported, texts: Iterable[str]) -> bool:
    """Whether prompts' tokens stay out of the pooling. Raises UserError where the graph pools."""
    if exported.sentence.get("include_prompt", True) or not any(texts):
        return False
    if exported.sentence["pooled"]:
        raise UserError(
            "this checkpoint keeps its prompts' tokens out of the pooling (include_prompt false), and its graph pools "
            "with the layers behind it; leave the prompts out"
        )
    return True


def prompt_length(exported: Exported, text: str) -> int:
    """How many tokens a prompt has as sentence-transformers counts: encoded alone, less a special token at its end."""
    if not text:
        return 0
    tokenizer = tokenizer_from_file(exported.tokenizer)
    tokenizer.no_padding()
    tokenizer.enable_truncation(exported.fixed_length or exported.max_length)
    tokenizer.encode_special_tokens = exported.reading.get("split_special_tokens", False)
    found = tokenizer.encode(text)
    special = found.special_tokens_mask[-1] or found.ids[-1] in exported.special.values()
    return len(found.ids) - int(special)


def prompts(exported: Exported, options: Options, tensor: str = "input_text") -> Steps:
    """The prompts that a request may name, if the model has any. Raises UserError for a default that is none."""
    named = named_prompts(exported, options)
    if not named:
        return ()
    default = options.get("default_prompt", exported.sentence.get("prompt"))
    if default is not None and default not in named:
        raise UserError(f"no prompt {default!r}. Prompts: {', '.join(named)}")
    settings: dict[str, Any] = {"prompts": named, "default": default}
    if tensor != "input_text":
        settings["tensor"] = tensor
    if skips_prompt(exported, named.values()):
        settings["lengths"] = {name: prompt_length(exported, text) for name, text in named.items()}
    return (Step("prompt.py", "Prompt", settings),)
