"""Rules on names that other programs read as more than names: a shell, an address of HTTP, a client that is written."""

from __future__ import annotations

from collections.abc import Iterator

from tbgen.generator.check.finding import Finding
from tbgen.generator.check.model import Model
from tbgen.generator.models.config import PYTHON_BACKENDS
from tbgen.generator.names import ADDRESS_WORD, CUT_AT_ZERO, NAME_MEND, NOT_IN_ADDRESS, ZERO, plain_in_shell


def _of_the_model(model: Model) -> Iterator[Finding]:
    """The Python backend puts the folder's path into a line of bash, without quotes, and reads it as ASCII."""
    if ADDRESS_WORD.fullmatch(model.name):
        return
    plain = plain_in_shell(model.name) and model.name.isascii()
    if model.config.backend in PYTHON_BACKENDS and not plain:
        says = f"Triton starts the process of a Python model by a line of bash that would read {model.name!r} as code"
        yield model.refused(model.file(model.folder), says, NAME_MEND)
    else:
        yield model.advice(model.file(model.folder), f"no HTTP client asks for it: {NOT_IN_ADDRESS}", NAME_MEND)


def _of_tensors(model: Model) -> Iterator[Finding]:
    """Triton serves any name of a tensor; a script that somebody pastes it into may not."""
    for side in ("input", "output"):
        for index, tensor in enumerate(getattr(model.config, side)):
            where = f"{side}[{index}].name"
            if ZERO in tensor.name:
                yield model.fails(where, f"no client asks for {tensor.name!r}: {CUT_AT_ZERO}", NAME_MEND)
            elif not plain_in_shell(tensor.name):
                says = f"the name {tensor.name!r} is more than a name to a shell: a script that holds it may run it"
                yield model.advice(where, says, NAME_MEND)


RULES = (_of_the_model, _of_tensors)
