"""Options that are spelled otherwise now, or in another command: what to write, said where someone writes them."""

from __future__ import annotations

import click

from tbgen.cli.deployments import DEPLOY_KINDS

_HTTP = "--http is gone: write --url http://HOST:PORT"
_BOTH = "--protocol is gone: write --url grpc://HOST:PORT, and for both also --url http://HOST:PORT"
_ARGUMENT = "the repository is an argument of `tbgen {0}`: write tbgen {0} REPOSITORY"
NEW_SPELLINGS = {
    **{(command, "--http"): _HTTP for command in ("infer", "check", "deploy copy")},
    ("bench", "--protocol"): _BOTH,
    ("scaffold", "-o"): "-o is gone: write -r, as in every command",
    **{
        (command, option): _ARGUMENT.format(command)
        for command in ("serve", "check", "sbom", *(f"deploy {kind}" for kind in ("copy", "haproxy", *DEPLOY_KINDS)))
        for option in ("-r", "--repository")
    },
}


def new_spelling(error: click.NoSuchOption) -> str | None:
    """What to write instead; None where nobody knows."""
    names, context = list[str](), error.ctx
    while context and context.parent:
        names.insert(0, context.info_name or "")
        context = context.parent
    return NEW_SPELLINGS.get((" ".join(names), error.option_name))
