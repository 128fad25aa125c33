"""token-classification: entities of a text."""

from __future__ import annotations

from tbgen.backends.token_classification import STRATEGIES
from tbgen.export.exported import Exported
from tbgen.export.tasks.model_kind import TOKEN_CLASSES
from tbgen.export.tasks.settings import FLAG, ids_type, option_settings, output_width
from tbgen.export.tasks.task import Options, Step, Steps, Task, Windows


def _entities(exported: Exported, options: Options) -> Steps:
    """Tokens with a class, put together as a person chose."""
    settings = {
        "labels": list(exported.labels),
        "data_type": ids_type(exported),
        "unk_id": exported.special.get("unk"),
    } | option_settings(options, "aggregation", "json")
    return (Step("token_classification.py", "TokenClassification", settings, (exported.tokenizer,)),)


def _joined_tokens(exported: Exported, options: Options) -> Steps:
    """Each token as its own window says it."""
    settings = {"size": output_width(exported), "data_type": ids_type(exported)}
    return (Step("merge.py", "JoinTokens", settings), *_entities(exported, options))


TASK = Task(
    _entities,
    TOKEN_CLASSES,
    reading=lambda *_: {"extras": ["offsets", "special_tokens_mask", "tokenized_text"]},
    options={
        "aggregation": {"type": "string", "enum": list(STRATEGIES)},
        "json": FLAG,
    },
    windows=Windows(_joined_tokens, lambda *_: {"extras": ["offsets", "tokenized_text"]}),
)
