"""sparse-embedding: weights of the vocabulary's tokens for a text."""

from __future__ import annotations

from tbgen.backends.sparse_embedding import LOGARITHMS, POOLINGS
from tbgen.export.errors import UserError
from tbgen.export.exported import Exported
from tbgen.export.tasks.model_kind import VOCABULARY
from tbgen.export.tasks.prompts import PROMPT_OPTIONS, prompts
from tbgen.export.tasks.settings import COUNT, FLAG, ids_type, option_settings, output_width
from tbgen.export.tasks.task import Options, Step, Steps, Task, Windows


def _weights(exported: Exported, options: Options) -> Steps:
    """As a sentence-transformers folder says, unless a person set otherwise."""
    settings = {"size": output_width(exported), "data_type": ids_type(exported)}
    names = ("pooling", "activation", "top_k")
    settings |= {name: exported.sentence[name] for name in names if name in exported.sentence}
    settings |= option_settings(options, *names, "json")
    return (Step("sparse_embedding.py", "SparseEmbedding", settings, (exported.tokenizer,)),)


def _merged_weights(exported: Exported, options: Options) -> Steps:
    """The largest weight of each token over the windows. Raises UserError for weights that are sums."""
    (head,) = _weights(exported, options)
    if head.settings.get("pooling") == "sum":
        raise UserError(
            "windows are merged by the largest weight, and this checkpoint adds weights up (pooling sum), the special "
            "tokens' of each window too; leave --long-text out, or serve it with --set pooling=max"
        )
    settings = {"size": output_width(exported), "data_type": ids_type(exported)}
    return (Step("merge.py", "LargestLogits", settings), head)


TASK = Task(
    _weights,
    VOCABULARY,
    rows=prompts,
    max_items=8,
    options={
        "pooling": {"type": "string", "enum": list(POOLINGS)},
        "activation": {"type": "string", "enum": list(LOGARITHMS)},
        "top_k": COUNT,
        **PROMPT_OPTIONS,
        "json": FLAG,
    },
    windows=Windows(_merged_weights),
)
