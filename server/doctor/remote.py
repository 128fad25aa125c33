"""A running server, asked over its protocols: what it is, what it serves and why not, what others may do to it."""

from __future__ import annotations

from collections.abc import Iterator

from tbgen.export.errors import UserError
from tbgen.generator.compare.example import example_item
from tbgen.server.bench.metrics import metrics_from_text, metrics_page
from tbgen.server.client.address import Address
from tbgen.server.client.connection import Connection, ProxyError
from tbgen.server.client.probe import Probe, probes
from tbgen.server.deploy.launch import ENVIRONMENT, METRICS
from tbgen.server.doctor.part import BROKEN, MISSING, WORKS, MachinePart
from tbgen.server.embedded.keys import OWNER_APIS

_SECONDS = 10.0  # for each answer
_ECHO = "한국어 🔥"  # short enough to stand whole in a sentence
_RESTRICT = "start it with --http-restricted-api and --grpc-restricted-protocol, as tbgen serve does"


def server_parts(address: Address, metrics_url: str | None = None) -> Iterator[MachinePart]:
    """What is found at an address; metrics_url: by default Triton's port there. Raises nothing for what is wrong."""
    try:
        with Connection(address, seconds=_SECONDS) as connection:
            yield from _own_parts(connection)
    except ProxyError as error:
        mend = "ask a server behind it; `tbgen probe` asks models through it that are named"
        yield MachinePart("models", MISSING, error.message, "answers", mend)
        return
    except UserError as error:
        yield MachinePart(
            f"server {address}", BROKEN, error.message, "what is asked of it", "start it, or name another"
        )
        return
    answering: list[str] = []
    try:
        for probe in probes(address, (), seconds=_SECONDS):
            answering += [] if probe.wrong else [probe.model]
            yield _answer_part(probe, address)
    except UserError as error:
        yield MachinePart("answers", MISSING, error.message, "clients", "serve a model that takes text")
    with Connection(address, seconds=_SECONDS) as connection:
        yield _locale_part(connection, answering)
        yield _shared_memory_part(connection)
    yield _restriction_part(address)
    yield _metrics_part(metrics_url or f"http://{address.place.rpartition(':')[0]}:{METRICS}/metrics")


def _own_parts(connection: Connection) -> Iterator[MachinePart]:
    """What the server says of itself, and of its models' states. Raises UserError."""
    told = connection.metadata()
    enables = "tbgen infer, probe, bench, deploy copy"
    yield MachinePart(f"server {connection.address}", WORKS, f"{told['name']} {told['version']}", enables)
    yield MachinePart("extensions", WORKS, ", ".join(told["extensions"]), "what clients may ask of it")
    states = connection.states()
    ready = [name for name, state in states.items() if state == "READY"]
    configs = [connection.config(name) for name in ready]
    kinds = sorted({config["backend"] or config["platform"] for config in configs})
    yield MachinePart("backends", WORKS, ", ".join(filter(None, kinds)) or "none in use", "the models that are ready")
    yield MachinePart("models", WORKS if ready else MISSING, ", ".join(sorted(ready)) or "none is ready", "answers")


def _answer_part(probe: Probe, address: Address) -> MachinePart:
    """Whether a model that takes text answers one, or why it is not ready."""
    name, enables = f"answer of {probe.model}", "its clients"
    if not probe.wrong:
        return MachinePart(name, WORKS, f"in {probe.seconds:.3f} s", enables)
    if probe.wrong.startswith("is not asked"):
        says = probe.wrong.partition("; name its repository")[0]
        return MachinePart(name, MISSING, says, enables, f"ask it with: tbgen probe --url {address} -r REPOSITORY")
    mend = "see the server's log, and load it again: a dead process does not come back by itself"
    return MachinePart(name, BROKEN, probe.wrong, enables, mend)


def _locale_part(connection: Connection, fronts: list[str]) -> MachinePart:
    """Whether a Korean text comes back whole: in the sentence of a model that is asked for a parameter of that name."""
    name, enables = "locale", "texts that are not ASCII, in answers and errors"
    for model in fronts:
        try:
            connection.infer(model, example_item(connection.config(model)), parameters={_ECHO: True})
        except UserError as error:
            if _ECHO in error.message:
                return MachinePart(name, WORKS, f"{model} sends {_ECHO!r} back whole", enables)
            if "no parameter" in error.message:
                mend = f"start the server with {' '.join(f'{key}={value}' for key, value in ENVIRONMENT.items())}"
                return MachinePart(name, BROKEN, f"{_ECHO!r} comes back changed: {error.message}", enables, mend)
    return MachinePart(name, MISSING, "no model that sends back what it is sent", enables, "serve a model of tbgen's")


def _shared_memory_part(connection: Connection) -> MachinePart:
    """The regions of its machine's shared memory that clients have registered."""
    name, enables = "shared memory", "clients on the server's machine, whose tensors then are not sent"
    try:
        with connection.failures("does not tell its regions"):
            told = connection.client.get_system_shared_memory_status(**connection.as_json())
            regions = len(told.get("regions", {}) if isinstance(told, dict) else told)
    except UserError as error:
        return MachinePart(name, MISSING, error.message, enables, "--header NAME=VALUE brings the key of the API")
    return MachinePart(name, WORKS, f"{regions} regions registered", enables)


def _restriction_part(address: Address) -> MachinePart:
    """Which of the owner's APIs answer to everybody."""
    name, enables = "restricted APIs", "keeping from others what loads models, reads memory, and changes the log"
    with Connection(Address(address.place, address.protocol, address.tls), seconds=_SECONDS) as stranger:
        stranger.headers = {}
        open_to_all = [api for api, call in OWNER_APIS.items() if _answers(stranger, call)]
    closed = ", ".join(api for api in OWNER_APIS if api not in open_to_all)
    if open_to_all:
        return MachinePart(name, MISSING, f"open to all who reach it: {', '.join(open_to_all)}", enables, _RESTRICT)
    return MachinePart(name, WORKS, f"without a key nobody is answered: {closed}", enables)


def _answers(connection: Connection, call: str) -> bool:
    """Whether a call of the client is answered."""
    try:
        with connection.failures("does not answer"):
            getattr(connection.client, call)(**connection.options())
    except UserError:
        return False
    return True


def _metrics_part(url: str) -> MachinePart:
    """Whether its metrics can be read, and of how many models tbgen's steps count."""
    name, enables = "metrics", "Prometheus, tbgen deploy dashboards, where bench finds the time"
    try:
        models = {model for model, _ in metrics_from_text(metrics_page(url)).seconds}
    except (OSError, ValueError) as error:
        mend = "open the port, or name the page with --metrics-url"
        return MachinePart(name, MISSING, f"not read at {url}: {error}", enables, mend)
    return MachinePart(name, WORKS, f"{url}, steps of {len(models)} models among them", enables)
