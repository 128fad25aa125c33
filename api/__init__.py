"""The names of tbgen that are meant for others: what is reached by other paths may change with any version.

Nothing heavy is imported before it is asked for, so `import tbgen` costs next to nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tbgen.export.errors import UserError as UserError
    from tbgen.export.tasks.task import Step as Step
    from tbgen.export.tasks.task import Task as Task
    from tbgen.generator.check.finding import Finding as Finding
    from tbgen.generator.local.models import LocalModels as LocalModels
    from tbgen.generator.request import Request as Request
    from tbgen.generator.scaffold import Scaffolded as Scaffolded
    from tbgen.server.embedded.server import EmbeddedServer as EmbeddedServer

# Classes, and the module that each is loaded from when it is asked for.
_CLASSES = {
    "EmbeddedServer": "tbgen.server.embedded.server",
    "Finding": "tbgen.generator.check.finding",
    "LocalModels": "tbgen.generator.local.models",
    "Request": "tbgen.generator.request",
    "Scaffolded": "tbgen.generator.scaffold",
    "Step": "tbgen.export.tasks.task",
    "Task": "tbgen.export.tasks.task",
    "UserError": "tbgen.export.errors",
}

__version__: str
__all__ = ["__version__", "check", "infer", "run", "scaffold", "serve", *_CLASSES]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from tbgen.generator.version import version

        return version()
    if name in _CLASSES:
        return getattr(importlib.import_module(_CLASSES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


def scaffold(request: Request, repository: str | Path, *, force: bool = False, comparing: bool = True) -> Scaffolded:
    """Write the models that serve `request` into a model repository: all of them, or none.

    Args:
        force: replace models of the same name, edited ones too.
        comparing: hold their answers against those of the library that wrote the checkpoint.

    Raises:
        UserError: anything that a person can mend.
    """
    from tbgen.generator.scaffold import scaffold

    return scaffold(request, Path(repository), force=force, comparing=comparing)


def check(repository: str | Path, *, release: str | None = None, weights: bool = False) -> list[Finding]:
    """What Triton would refuse in a model repository, and what clients would trip over; errors of a model first.

    Args:
        release: the tag of the Triton container that is to load it, such as "24.10".
        weights: read the ONNX files' weights too, for NaN and infinity.

    Raises:
        UserError: the repository cannot be read, or there is no such release.
    """
    from tbgen.generator.check.check import check_repository

    return check_repository(Path(repository), release=release, weights=weights)


def run(repository: str | Path) -> LocalModels:
    """The models of a repository without Triton, in this process; a context manager with `infer(model, inputs)`.

    Raises:
        UserError: there is no model in it.
    """
    from tbgen.generator.local.models import LocalModels

    return LocalModels(Path(repository))


def serve(
    repository: str | Path, *, log: str | Path | None = None, extra_arguments: Sequence[str] = ()
) -> EmbeddedServer:
    """The real Triton on a repository, on free ports of this machine, as a context manager.

    Args:
        log: file for the server's output.
        extra_arguments: passed to tritonserver as they are.

    Raises:
        UserError: on entering, in a sentence, when a model does not load.
    """
    from tbgen.server.embedded.server import server_on_free_ports

    return server_on_free_ports(Path(repository), log=Path(log) if log else None, extra_arguments=extra_arguments)


def infer(name: str, texts: Iterable[str], *, url: str | None = None) -> list[dict[str, Any]]:
    """The answers of a served model to texts: for each, output name -> text, number, or a list of them.

    Args:
        name: a model, or the name given to scaffold, which means its BLS model, else the single one, else the ensemble.
        url: grpc://HOST:PORT, http://HOST:PORT, HOST:PORT or PORT; grpc://localhost:8001 unless named.

    Raises:
        UserError: no server, no such model, not ready, takes other inputs, refuses a text.
    """
    from tbgen.server.client.client import infer

    return infer(name, texts, url=url)
