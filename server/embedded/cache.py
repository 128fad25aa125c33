"""The response cache of a server: which models of a repository ask for it, and how tritonserver is told."""

from __future__ import annotations

from pathlib import Path

from tbgen.export.errors import UserError
from tbgen.generator.models.config import CACHE_BYTES, config_from_file
from tbgen.generator.repository import CONFIG, model_folders


def cache_arguments(repository: Path, size: int | None = None) -> tuple[str, ...]:
    """What gives a server a cache of `size` bytes, 0 for none; without a size, one where a model asks for it."""
    if size is None:
        size = CACHE_BYTES if models_that_ask(repository) else 0
    return (f"--cache-config=local,size={size}",) if size else ()


def models_that_ask(repository: Path) -> list[str]:
    """The models whose configuration enables the response cache, sorted; those that cannot be read do not count."""
    names = []
    for folder in model_folders(repository):
        try:
            asks = config_from_file(folder / CONFIG).response_cache.enable
        except (OSError, UserError):
            continue
        if asks:
            names.append(folder.name)
    return names
