"""The plainest class of each step that does what its settings ask for, so that a model carries what it runs."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace

from tbgen.backends.engine_call import Engine
from tbgen.backends.softmax_classification import TextClassification
from tbgen.backends.text_tokenizer import Tokenizer
from tbgen.export.tasks.task import Step

# A step's file -> that of a class of the same name whose constructor knows fewer settings, and the class.
PLAIN = {
    "tokenizer.py": ("text_tokenizer.py", Tokenizer),
    "engine.py": ("engine_call.py", Engine),
    "text_classification.py": ("softmax_classification.py", TextClassification),
}


def plain(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The same steps, each of the plainest file that knows its settings; a tokenizer that no ensemble asks to trim."""
    return tuple(map(_plain_step, steps))


def _plain_step(step: Step) -> Step:
    """The step, of its plain file if that knows all settings."""
    if step.file not in PLAIN:
        return step
    file, plain_class = PLAIN[step.file]
    known = inspect.signature(plain_class).parameters
    return replace(step, file=file) if step.settings.keys() <= known.keys() else step
