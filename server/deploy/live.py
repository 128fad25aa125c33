"""What a running server does with models that are put into its repository: it is told, or it sees them by itself."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tbgen.export.errors import UserError
from tbgen.server.client.connection import UNREACHABLE, Connection
from tbgen.server.embedded.log import one_line

_TICK = 0.2  # seconds between two looks
_NO_CONTROL = "explicit model load / unload is not allowed"
_GONE = ("unloaded", "")  # why a version is not there, when nothing failed
LOADING = "LOADING"  # a poll waits for all that it loads before the next one looks again


class Live:
    """A server that controls its models explicitly or polls its repository; which of the two shows at the first load.

    Args:
        connection: to the server.
        seconds: how long a model may take to load, the server's polling period included.
        notice: how long a polling server that loads nothing may take to notice a version; None: `seconds`.
    """

    def __init__(self, connection: Connection, *, seconds: float, notice: float | None = None) -> None:
        self.connection = connection
        self.seconds = seconds
        self.notice = seconds if notice is None else notice
        self.polls: bool | None = None

    def __str__(self) -> str:
        return f"the server at {self.connection.address}"

    def newest(self, model: str) -> int:
        """The highest version that the server has ever known of a model, 0 for none."""
        return max((version for name, version, *_ in self.index() if name == model), default=0)

    def bring(self, model: str, version: int) -> None:
        """Have a version that is in the repository served. Raises UserError with the server's reason."""
        self.tell("load", model)
        began = idle_since = time.monotonic()
        while not self.serves(model, version):
            index, now = self.index(), time.monotonic()
            known = [why for name, number, _, why in index if (name, number) == (model, version)]
            if any(reason not in _GONE for reason in known):
                raise UserError(f"version {version} of {model!r} failed to load by {self}: {one_line(known[0])}")
            others = sorted({name for name, _, state, _ in index if state == LOADING and name != model})
            idle_since = now if others else idle_since
            if now - began > self.seconds:
                what = "loaded" if known else "noticed"
                raise UserError(_late(self, model, version, what, now - began, others))
            if not known and now - idle_since > self.notice:
                raise UserError(_late(self, model, version, "noticed", now - idle_since))
            time.sleep(_TICK)

    def drop(self, model: str) -> None:
        """Have a model that is no longer in the repository unloaded."""
        self.tell("unload", model)

    def tell(self, order: str, model: str) -> None:
        """Give a server that takes orders one; a polling one refuses, and sees by itself."""
        from tritonclient.utils import InferenceServerException

        if self.polls:
            return
        with self.connection.failures(f"did not {order} {model!r}"):
            try:
                getattr(self.connection.client, f"{order}_model")(model, **self.connection.options())
            except InferenceServerException as error:
                if _NO_CONTROL in error.message():
                    self.polls = True
                elif error.status() in UNREACHABLE:
                    raise
                else:
                    raise UserError(f"{self} did not {order} {model!r}: {one_line(error.message())}") from error

    def serves(self, model: str, version: int) -> bool:
        with self.connection.failures("is not reachable"):
            return bool(self.connection.client.is_model_ready(model, str(version), **self.connection.options()))

    def index(self) -> list[tuple[str, int, str, str]]:
        """All versions that the server knows: model, version, state, reason."""
        return [
            (row["name"], int(row["version"]), row["state"], row["reason"])
            for row in self.connection.index()
            if row["version"]
        ]


def _late(live: Live, model: str, version: int, what: str, waited: float, others: Sequence[str] = ()) -> str:
    """Why a version was given up, and what to do; others: what the server was loading in the end instead."""
    said = f"version {version} of {model!r} was not {what} by {live} within {waited:.0f} s"
    if others:
        return (
            f"{said}, which still loads {', '.join(others)}; try again when they are loaded, or give a longer --timeout"
        )
    if what == "loaded":
        return f"{said}; give a longer --timeout if it takes long"
    return (
        f"{said}; it must poll this very repository (--model-control-mode=poll, every few seconds) or take orders "
        "(=explicit)"
    )
