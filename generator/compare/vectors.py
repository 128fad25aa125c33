"""Steps of the tasks that sentence-transformers trains for: vectors, their likeness, words' weights, pairs' scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from tbgen.export.errors import UserError
from tbgen.export.exported import Exported
from tbgen.export.tokenizers.tokenizer import tokenizer_from_file
from tbgen.generator.engines import DATA_TYPES
from tbgen.generator.steps.step import Step

Options = Mapping[str, Any]
Steps = tuple[Step, ...]


def chosen(options: Options, *names: str) -> dict[str, Any]:
    """Those of the named options that a person set, as settings of a step; json and logits as extras."""
    settings = {name: options[name] for name in names if name in options}
    extras = [name for name in ("logits", "json") if name in names and settings.pop(name, False)]
    return settings | ({"extras": extras} if extras else {})


def width(exported: Exported) -> int:
    """Size of the last axis of the engine's output: classes, hidden states or vocabulary."""
    return int(exported.outputs["outputs"].shape[-1])


def ids_type(exported: Exported) -> str:
    """Data type of the token tensors."""
    return DATA_TYPES[exported.inputs["input_ids"].dtype]


def embedding(exported: Exported, options: Options, prompts: Iterable[str] | None = None) -> Steps:
    """A vector for a text: as a sentence-transformers folder says, unless a person set otherwise.

    prompts: what may stand before a text, if not one of the prompts that a request names.
    """
    sentence = exported.sentence
    before = named_prompts(exported, options).values() if prompts is None else prompts
    settings: dict[str, Any] = {"size": width(exported), "data_type": ids_type(exported)}
    if sentence:
        settings |= {
            "pooling": "none" if sentence["pooled"] else sentence["pooling"],
            "normalize": sentence["normalize"],
        }
        if "truncate_dim" in sentence and "dims" not in options:
            settings["truncate_dim"] = sentence["truncate_dim"]
    if "precision" in options:
        settings["output_type"] = f"TYPE_{options['precision'].upper()}"
    if skips_prompt(exported, before):
        settings["skip_prompt"] = True
    return (Step("embedding.py", "Embedding", settings | chosen(options, "pooling", "normalize", "dims")),)


def vector_size(head: Step) -> int:
    """How many numbers an Embedding's vector has."""
    settings = head.settings
    modes = settings.get("pooling", "mean")
    size = int(settings.get("dims") or settings["size"] * (1 if isinstance(modes, str) else len(modes)))
    return min(size, settings.get("truncate_dim") or size)


def said_in_json(vectors: Steps, options: Options) -> Steps:
    """Steps whose last one is an Embedding, which then gives JSON too: to all requests, or to those that ask for it."""
    *before, last = vectors
    return (*before, replace(last, settings={**last.settings, "with_json": bool(options.get("json"))}))


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
    found = tokenizer.encode(text.lower() if exported.reading.get("lower_case") else text)
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


def query_prompts(exported: Exported, options: Options) -> dict[str, str]:
    """What encode_query and encode_document of sentence-transformers 6 put before a text: prompts of these two names.

    The library has both at all times, empty where none was saved, and so asks neither for another nor for the default.
    """
    named = exported.sentence.get("prompts", {})
    own = {"query_prompt": named.get("query", ""), "text_prompt": named.get("document", "")}
    return own | {name: options[name] for name in own if name in options}


def query_texts(exported: Exported, options: Options) -> Steps:
    """A query and texts as rows, each with its prompt."""
    texts = query_prompts(exported, options)
    settings: dict[str, Any] = texts | chosen(options, "max_texts")
    if skips_prompt(exported, texts.values()):
        settings["prompt_lengths"] = [prompt_length(exported, text) for text in texts.values()]
    return (Step("similarity.py", "QueryTexts", settings),)


def similarity(exported: Exported, options: Options) -> Steps:
    """How alike a query and texts are, from their vectors."""
    vectors = embedding(exported, options, query_prompts(exported, options).values())
    metric = options.get("metric", exported.sentence.get("similarity"))
    settings = {"size": vector_size(vectors[-1]), **({"metric": metric} if metric else {})}
    return (*vectors, Step("similarity.py", "Similarity", settings | chosen(options, "json")))


def rerank(exported: Exported, options: Options) -> Steps:
    """A score for a pair. Raises UserError for a model with several classes."""
    if len(exported.labels) != 1:
        raise UserError(
            f"rerank needs a checkpoint with one output, this one has {len(exported.labels)} "
            f"({', '.join(exported.labels)}); serve it with --task text-classification --set pair=true"
        )
    activation = exported.sentence.get("activation")
    settings = {"activation": activation} if activation and activation != "Sigmoid" else {}
    return (Step("rerank.py", "Rerank", settings | chosen(options, "sigmoid", "json")),)


def query_pairs(exported: Exported, options: Options) -> Steps:
    """A query and texts as pairs, the query's prompt before it."""
    return (
        *prompts(exported, options, "query"),
        Step("rerank.py", "QueryPairs", chosen(options, "max_texts")),
    )


def sparse_embedding(exported: Exported, options: Options) -> Steps:
    """Weights of the vocabulary's tokens for a text."""
    settings = {"size": width(exported), "data_type": ids_type(exported)}
    names = ("pooling", "activation", "top_k")
    settings |= {name: exported.sentence[name] for name in names if name in exported.sentence}
    settings |= chosen(options, *names, "json")
    return (Step("sparse_embedding.py", "SparseEmbedding", settings, (exported.tokenizer,)),)
