"""Asks the front models of a running server a real text each: readiness alone says nothing of a process that died."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tbgen.export.errors import UserError
from tbgen.generator.calls import configs_in
from tbgen.generator.compare.example import NoExampleError, example_item
from tbgen.generator.role import front_names
from tbgen.server.client.address import Address
from tbgen.server.client.client import front_models
from tbgen.server.client.connection import Connection, ProxyError
from tbgen.server.client.smoke import check_answer

_AT_ONCE = 16  # models that are asked at the same time
_AS_WANTED = ("READY", "not loaded", "UNAVAILABLE unloaded")  # states that need no mending


@dataclass(frozen=True)
class Probe:
    """What came of one question: the seconds until it was answered, and what is wrong, empty where nothing is."""

    model: str
    seconds: float
    wrong: str = ""


def probes(
    address: Address, names: Sequence[str], *, seconds: float, repository: Path | None = None
) -> Iterator[Probe]:
    """Ask the models that are named, or all that clients ask and that take text alone, at once.

    names: models, or names given to scaffold. seconds: to wait for each answer.
    repository: the records of its models say what an item of them must hold; without one any text is sent. Behind a
    proxy, which lists none, its front models are meant.
    Raises UserError: no server, no such model, none that takes text.
    """
    with Connection(address, seconds=seconds) as connection:
        models = [front for name in names for front in front_models(connection, name)]
        found, broken = ([], {}) if names else _all(connection, repository)
        models += found
    if not models and not broken:
        raise UserError(f"no model at {address} that takes text; name one, or start the server on another repository")
    yield from (Probe(model, 0.0, f"is not ready: {state}") for model, state in sorted(broken.items()))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(partial(_asked, address, seconds=seconds, repository=repository), models)


def _all(connection: Connection, repository: Path | None) -> tuple[list[str], dict[str, str]]:
    """The models that clients ask, and the state of each that should be ready and is not. Raises UserError."""
    try:
        states = connection.states()
    except ProxyError as error:
        if repository is None:
            raise ProxyError(f"{error.message}; or name models, or the repository that they are from: -r") from error
        return front_names(configs_in(repository), repository), {}
    broken = {model: state for model, state in states.items() if state not in _AS_WANTED}
    return _fronts(connection, [model for model, state in states.items() if state == "READY"], repository), broken


def _fronts(connection: Connection, models: Sequence[str], repository: Path | None) -> list[str]:
    """Those of the models that clients ask and that take text alone."""
    configs = {model: connection.config(model) for model in models}
    kinds = {name: {each["data_type"] for each in config.get("input", ())} for name, config in configs.items()}
    return [name for name in front_names(configs, repository) if kinds[name] == {"TYPE_STRING"}]


def _asked(address: Address, model: str, *, seconds: float, repository: Path | None) -> Probe:
    """One model's answer."""
    began = time.monotonic()
    try:
        with Connection(address, seconds=seconds) as connection:
            item = example_item(connection.config(model), repository and repository / model)
            check_answer(model, item, connection.infer(model, item))
    except NoExampleError as error:
        return Probe(model, 0.0, f"is not asked: {error.message}; name its repository with -r")
    except UserError as error:
        return Probe(model, time.monotonic() - began, error.message)
    return Probe(model, time.monotonic() - began)
