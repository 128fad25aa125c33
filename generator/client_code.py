"""Clients for a model of a repository, in several languages: templates filled from its config.pbtxt."""

from __future__ import annotations

import inspect
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

import numpy as np
from tritonclient.grpc.model_config_pb2 import DataType

from tbgen.export.errors import NoSuchName, UserError
from tbgen.generator.addresses import URLS
from tbgen.generator.data_types import NOT_IN_JSON, NUMPY, protocol_name
from tbgen.generator.json_values import array_from_json, limits_of
from tbgen.generator.models.config import ModelConfig
from tbgen.generator.names import CUT_AT_ZERO, NAME_MEND, ZERO, check_addressable, literal

_TEMPLATES = Path(__file__).with_name("clients")
LANGUAGES = {
    "python": ".py",
    "python-async": ".py",
    "python-grpc": ".py",
    "curl": ".sh",
    "javascript": ".mjs",
    "go": ".go",
}
_MADE_OF: dict[tuple[str | int, ...], str] = {("BYTES", 1): "text", ("BYTES", -1): "texts"}  # by type and dims
_WHOLE = "-?(0|[1-9][0-9]*)"
_FORMS = {  # of JSON's values in bash, by their types
    str: r'"([^"\\]|\\.)*"',
    bool: "true|false",
    int: _WHOLE,
    (int, float): rf"{_WHOLE}(\.[0-9]+)?([eE][-+]?[0-9]+)?",
}
_HELP = """usage: {run} [--url URL] [--] {usage}

Asks the model {model} of a Triton server over HTTP. {reads}

  --url URL   http://HOST:PORT, https://HOST:PORT, HOST:PORT or PORT
  --          behind it, what begins with - is a value
  -h, --help  print this"""
_RUN = {"curl": "./client.sh", "javascript": "node client.mjs", "go": "go run client.go"}

# What every client does with an item: it changes nothing on a server, so it may be sent again where no answer came. The
# waits outlast the second within which a load balancer leaves out a dead server; the budget is gRPC's retryThrottling.
DEADLINE = 30  # seconds
_RULE = {
    "attempts": "5",
    "first_wait": "0.2",
    "first_wait_ms": "200",
    "deadline": str(DEADLINE),
    "budget": "50",
    "no_answer": "502, 503",
    "no_answer_curl": "0:502 | 0:503",  # curl's exit status before the server's
}


class _ClientTemplate(Template):
    """A template whose placeholders are @{name}: $ belongs to shell and JavaScript."""

    delimiter = "@"
    pattern = r"@\{(?P<braced>[a-z_]+)\}|(?P<escaped>@@)|(?P<named>(?!))|(?P<invalid>(?!))"  # type: ignore[assignment]


@dataclass(frozen=True)
class ClientInput:
    """An input of one item: `made_of` is text, texts (a list of any length) or json (anything else)."""

    name: str
    kind: str
    made_of: str
    axes: int


def client_protocol(language: str) -> str:
    """HTTP or gRPC."""
    return "gRPC" if language.endswith("grpc") else "HTTP"


def client_code(config: ModelConfig, language: str, *, url: str | None = None) -> str:
    """The source of a client for the model. Raises NoSuchName, UserError (JSON cannot carry what the model takes)."""
    if language not in LANGUAGES:
        raise NoSuchName("language", language, list(LANGUAGES))
    protocol = client_protocol(language)
    _check_names(config)
    inputs = [_input_of(tensor) for tensor in config.input if not tensor.optional]
    binary = language.startswith("python")
    outputs = [tensor for tensor in config.output if binary or _kind_of(tensor) not in NOT_IN_JSON]
    if not (inputs and config.output):
        raise UserError(
            f"model {config.name!r} has no inputs that must be sent, or no outputs: there is nothing to ask"
        )
    if not outputs or (not binary and any(each.kind in NOT_IN_JSON for each in inputs)):
        raise UserError(f"model {config.name!r} speaks FP16, which JSON cannot carry; use --lang python")
    if language in ("curl", "go") and any(each.axes > 1 for each in inputs):
        raise UserError(f"model {config.name!r} takes tensors of several axes; use --lang python or javascript")
    batch = [1] if config.max_batch_size else []
    rows = [[each.name, each.kind, each.made_of] for each in inputs]
    given = [[tensor.name, _kind_of(tensor), list(tensor.dims)] for tensor in outputs]
    inputs_written = [", ".join(map(literal, row)) for row in rows]
    values = _RULE | {
        "model": config.name,
        "protocol": protocol,
        "scheme": protocol.lower(),
        "url": literal(url or URLS[protocol]),
        "usage": (usage := _usage(inputs)),
        "reads": (reads := _reads(usage)),
        "least": str(len(inputs)),
        "misfit": "<" if usage.endswith("...") else "!=",  # of the number of values
        "batch": json.dumps(batch),
        "inputs": f"[{', '.join(f'({row})' for row in inputs_written)}]",
        "outputs": f"[{', '.join('(' + ', '.join(map(literal, row)) + ')' for row in given)}]",
        "help": (text := _HELP.format(run=_RUN.get(language), usage=usage, model=config.name, reads=reads)),
        "help_literal": literal(text),
        "inputs_json": literal(rows),
        "outputs_json": literal(given),
        "batch_go": ", ".join(map(str, batch)),
        "inputs_go": "\n".join(f"\t{{{row}}}," for row in inputs_written),
        "outputs_go": ", ".join(f"{{{literal(name)}}}" for name, *_ in given),
        "url_shell": shlex.quote(url or URLS[protocol]),
        "shell": _shell(inputs, [name for name, *_ in given], batch) if language == "curl" else "",
    }
    rule = "\n\n".join(inspect.getsource(each) for each in (limits_of, array_from_json)).rstrip()
    parts = _filled("python-parts", {**values, "json_values": rule}).rstrip() if binary else ""
    return _filled(language, {**values, "python_parts": parts})


def _filled(template: str, values: Mapping[str, str]) -> str:
    """A template with its values."""
    return _ClientTemplate((_TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")).substitute(values)


def _check_names(config: ModelConfig) -> None:
    """Raise UserError for names that no client can send."""
    check_addressable(config.name)
    cut = [tensor.name for tensor in (*config.input, *config.output) if ZERO in tensor.name]
    if cut:
        raise UserError(f"model {config.name!r} is not asked for {cut[0]!r}: {CUT_AT_ZERO}; {NAME_MEND}")


def _input_of(tensor: object) -> ClientInput:
    """What a client must know of an input."""
    dims: list[int] = list(tensor.dims)  # type: ignore[attr-defined]
    kind = _kind_of(tensor)
    made_of = _MADE_OF.get((kind, *dims), "json")
    return ClientInput(tensor.name, kind, made_of, len(dims))  # type: ignore[attr-defined]


def _kind_of(tensor: object) -> str:
    """The data type's name on the wire."""
    return protocol_name(DataType.Name(tensor.data_type))  # type: ignore[attr-defined]


def _usage(inputs: list[ClientInput]) -> str:
    """The arguments of the command line."""
    if len(inputs) == 1 and inputs[0].made_of == "text":
        return "TEXT..."
    words = [re.sub(r"\W", "_", each.name).upper() for each in inputs]
    names = [word + ("" if each.made_of == "text" else "_AS_JSON") for word, each in zip(words, inputs, strict=True)]
    if inputs[-1].made_of == "texts":
        names[-1] = f"{words[-1]}..."
    return " ".join(names)


def _reads(usage: str) -> str:
    """How those arguments are read."""
    if usage == "TEXT...":
        return "Each TEXT is an item of its own."
    values = "What ends in _AS_JSON is JSON, such as [2, 3]; all else is text." if "_AS_JSON" in usage else ""
    rest = f"{usage.rpartition(' ')[2]} are one text or more." if usage.endswith("...") else ""
    return " ".join(filter(None, (values, rest))) or "Each value is a text."


def _shell(inputs: list[ClientInput], outputs: list[str], batch: list[int]) -> str:
    """The last lines of the shell script: one request a text, or one request of all arguments."""
    names = ",".join(f'{{"name":{_in_document(name)}}}' for name in outputs)
    wanted = f'"outputs":[{names}],"parameters":{{"timeout":{DEADLINE * 10**6}}}'
    if len(inputs) == 1 and inputs[0].made_of == "text":
        tensor = _shell_tensor(inputs[0], batch, '"1"', '$(quoted "$text")')
        return f'for text in "$@"; do\n  ask <<END\n{{"inputs":[{tensor}],{wanted}}}\nEND\ndone'
    lines, tensors = [], []
    for number, each in enumerate(inputs, 1):
        if each.made_of == "text":
            tensors.append(_shell_tensor(each, batch, "1", f'$(quoted "${{{number}}}")'))
        elif each.made_of == "texts" and number == len(inputs):
            tensors.append(_shell_tensor(each, batch, f"$(($# - {number - 1}))", f'$(list "${{@:{number}}}")'))
        else:
            lines.append(f'size{number}=$(size "${{{number}}}" {_shell_form(each)})')
            data = f'$(sed "s/^ *\\[//; s/\\] *$//" <<<"${{{number}}}")'
            tensors.append(_shell_tensor(each, batch, f"$size{number}", data))
    body = f'ask <<END\n{{"inputs":[{",".join(tensors)}],{wanted}}}\nEND'
    return "\n".join([*lines, body])


def _shell_form(each: ClientInput) -> str:
    """What an input takes, as `size` of the script reads it: words, the form of a value, limits without their signs."""
    types, words, least, most = limits_of(np.dtype(NUMPY.get(f"TYPE_{each.kind}", object)))
    form = [f"{each.name} takes {words}", _FORMS[types]]
    if types not in (str, bool):
        form += [f"{-least:.9e}", f"{most:.9e}"] if isinstance(most, float) else [str(-least), str(most)]
    return " ".join(map(shlex.quote, form))


def _shell_tensor(each: ClientInput, batch: list[int], size: str, data: str) -> str:
    """A tensor in JSON with the shell's expressions for its length and its values."""
    shape = ",".join([*map(str, batch), size.strip('"')])
    return f'{{"name":{_in_document(each.name)},"datatype":"{each.kind}","shape":[{shape}],"data":[{data}]}}'


def _in_document(name: str) -> str:
    """A name in JSON, in a here-document of the shell, which reads more than JSON does."""
    return re.sub(r"[\\$`]", r"\\\g<0>", literal(name))
