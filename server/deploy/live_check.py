"""`tbgen check --live`: which models of a repository a running server has ready, and what they answer."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from tbgen.generator.check.finding import Finding, Place
from tbgen.generator.repository import CONFIG
from tbgen.generator.rules.problem import Effect
from tbgen.server.client.address import Address
from tbgen.server.client.connection import Connection
from tbgen.server.client.smoke import smoke


@dataclass(frozen=True)
class LiveCheck:
    """The models that are ready, those of them that answered Korean with emoji, and what is wrong with the others."""

    ready: tuple[str, ...]
    answered: tuple[str, ...]
    findings: tuple[Finding, ...]


def check_live(repository: Path, connection: Connection) -> LiveCheck:
    """Look for the models of a repository on a server, and ask those of which an item is known.

    Raises UserError when no server answers.
    """
    states = connection.states()
    names = sorted(entry.name for entry in repository.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    ready = [name for name in names if states.get(name) == "READY"]
    findings = [
        _not_ready(name, states.get(name), repository, connection.address) for name in names if name not in ready
    ]
    answered: list[str] = []
    for asked in smoke(connection, [repository / name for name in ready]):
        if asked.unknown:
            mend = "let the step that takes it have an `example` (backends/README.md), and scaffold anew"
            findings.append(_finding("advice", asked.model, f"was not asked: {asked.unknown}", mend))
        elif asked.wrong:
            mend = "see the server's log; mend the model and load it"
            findings.append(_finding("fails", asked.model, asked.wrong, mend))
        else:
            answered.append(asked.model)
    return LiveCheck(tuple(ready), tuple(answered), tuple(findings))


def _not_ready(model: str, state: str | None, repository: Path, address: Address) -> Finding:
    """A model that the server does not serve: unknown to it, or with its reason."""
    if state is None:
        return _finding(
            "refused",
            model,
            "the server does not know the model",
            f"put it there with: tbgen deploy copy {shlex.quote(str(repository))} TARGET --url {address}",
        )
    return _finding("refused", model, f"on the server: {state}", "mend the model and load it")


def _finding(effect: Effect, model: str, says: str, mend: str) -> Finding:
    """What is wrong with a model on the server; its config is the file that both sides know."""
    return Finding(effect, model, Place(f"{model}/{CONFIG}"), says, mend)
