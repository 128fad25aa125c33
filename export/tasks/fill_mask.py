"""fill-mask: tokens for the masks of a text."""

from __future__ import annotations

from tbgen.export.errors import UserError
from tbgen.export.exported import Exported
from tbgen.export.tasks.model_kind import VOCABULARY
from tbgen.export.tasks.settings import COUNT, FLAG, ids_type, option_settings, output_width
from tbgen.export.tasks.task import Options, Step, Steps, Task
from tbgen.export.tokenizers.tokenizer import CLEAN_UP


def _fillings(exported: Exported, options: Options) -> Steps:
    """Raises UserError for a tokenizer without a mask."""
    if "mask" not in exported.special:
        raise UserError("fill-mask needs a tokenizer with a mask token, this one has none")
    settings = {
        "mask_id": exported.special["mask"],
        "pad_id": exported.pad_id,
        "size": output_width(exported),
        "data_type": ids_type(exported),
        **({"clean_up": True} if exported.reading.get(CLEAN_UP) else {}),
    } | option_settings(options, "top_k", "json")
    return (Step("fill_mask.py", "FillMask", settings, (exported.tokenizer,)),)


TASK = Task(
    _fillings,
    VOCABULARY,
    max_items=8,
    options={"top_k": COUNT, "json": FLAG},
    no_windows="a mask is filled from the words around it; send the passage that it stands in",
)
