"""Names from outside, as other programs read them: an address of HTTP, Triton, a shell."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

from tbgen.export.errors import UserError

ADDRESS_WORD = re.compile(r"[A-Za-z0-9_.~-]+")  # what an address of HTTP holds as it stands
ZERO = "\0"
NOT_IN_ADDRESS = "its name needs an escape in an address, which Triton does not read back"
CUT_AT_ZERO = "Triton cuts a name at its zero byte"
NAME_MEND = "name it by letters, digits, '_', '-' and '.'"


def check_addressable(model: str) -> None:
    """Raise UserError for a model that no request over HTTP can name."""
    if not ADDRESS_WORD.fullmatch(model):
        raise UserError(f"model {model!r} is not asked over HTTP: {NOT_IN_ADDRESS}; {NAME_MEND}")


def plain_in_shell(name: str) -> bool:
    """Whether a shell takes a name for a word and nothing more, without quotes; letters of any script are."""
    return bool(name) and (name.isalnum() or shlex.quote(name) == name)


def literal(value: Any) -> str:
    """A text, or lists of such, as JSON, TOML, Python, JavaScript and Go all read it: what could end it is escaped, and
    what nobody sees.
    """
    written = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() or c > "\uffff" else f"\\u{ord(c):04x}" for c in written)
