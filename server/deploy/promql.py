"""Names as Prometheus' language has them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

JOB = "triton"  # of servers' metrics, by which rules and graphs know them


def any_of(names: Iterable[str]) -> str:
    """A regular expression, in its quotes, that means these names and no other; without a name, the empty text."""
    return json.dumps("|".join(map(re.escape, names)), ensure_ascii=False)
