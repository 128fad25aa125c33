"""Table of the presets: names that `tbgen scaffold` knows without a --source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tbgen.export.errors import UserError

SAMPLES = Path(__file__).parent / "samples"


@dataclass(frozen=True)
class _Preset:
    """A bundled checkpoint and what to say of it."""

    source: Path
    about: str


PRESETS = {
    "kcbert": _Preset(
        SAMPLES / "kcbert", "a small KcBERT-shaped Korean finance sentiment classifier, bundled for trying tbgen"
    ),
}


def source_named(name: str) -> Path:
    """The checkpoint behind a preset's name. Raises UserError."""
    if name not in PRESETS:
        raise UserError(f"no preset {name!r} (presets: {', '.join(PRESETS)}); name your checkpoint with --source DIR")
    return PRESETS[name].source
