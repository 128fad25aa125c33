"""What tritonserver's log says: the lines worth showing, and why models failed to load."""

from __future__ import annotations

import re
from collections.abc import Iterable

NOTE = "tbgen: "  # begins a line that is not Triton's
# Printed on every machine without a GPU.
_HARMLESS = (
    "Unable to allocate pinned system memory",
    "CUDA memory pool disabled",
    "CudaDriverHelper has not been initialized",
)
_MODEL_FAILURES = (
    re.compile(r"failed to load '(?P<model>[^']+)' version \d+: (?P<cause>.*)", re.DOTALL),
    re.compile(r"failed to load model '(?P<model>[^']+)': (?P<cause>.*)", re.DOTALL),
    re.compile(r"Poll failed for model directory '(?P<model>[^']+)': (?P<cause>.*)", re.DOTALL),
    re.compile(r"Invalid argument: ensemble '?(?P<model>[^' ]+)'? (?P<cause>.*)", re.DOTALL),
)
_SERVER_FAILURES = (
    re.compile(r"(failed to start \w+ service: .*)"),
    re.compile(r"error: creating server: \w+ - (?!failed to load all models)(.*)"),
)
# Triton's words where a load begins, and where it ends.
_LOADING = re.compile(r'"loading: (?P<model>.+):\d+"$')
_LOADED = re.compile(r'"(?:successfully loaded|failed to load) \x27(?P<model>.+)\x27"$')
_PARSE_ERROR = re.compile(r"Error parsing text-format inference\.ModelConfig: (.*)")
# What stands before the sentence of a cause: Triton's status, and the exception that only says "refused".
_WRAPPING = re.compile(
    r"^(Internal|Invalid argument|Not found|Unavailable|Unsupported): |^(ValueError|TritonModelException): "
)


def lines_to_show(lines: Iterable[str]) -> list[str]:
    """The lines without those that only say that there is no GPU."""
    return [line for line in lines if not any(harmless in line for harmless in _HARMLESS)]


def load_failures(lines: Iterable[str]) -> dict[str, str]:
    """Why models could not be loaded: model -> one sentence, without ensembles that only suffer from their steps."""
    found: dict[str, str] = {}
    parse_error = ""
    for line in lines:
        if located := _PARSE_ERROR.search(line):
            parse_error = f" at line:column {located[1].strip()}"
        message = line.partition('] "')[2].rstrip().removesuffix('"').replace("\\n", "\n").replace('\\"', '"')
        matches = (pattern.match(message) for pattern in _MODEL_FAILURES if line.startswith("E"))
        if match := next(filter(None, matches), None):
            cause = one_line(match["cause"]) + (parse_error if "text proto" in match["cause"] else "")
            if "loading failed with error" not in cause:
                found.setdefault(match["model"], cause)
    return found


def loads_under_way(lines: Iterable[str]) -> set[str]:
    """The models whose last load has begun, and has not ended."""
    found: set[str] = set()
    for line in map(str.rstrip, lines):
        if begun := _LOADING.search(line):
            found.add(begun["model"])
        elif ended := _LOADED.search(line):
            found.discard(ended["model"])
    return found


def one_line(cause: str) -> str:
    """A cause on one line, without its traceback and without what wraps it."""
    cause = cause.partition("\n\nAt:")[0]
    while _WRAPPING.match(cause):
        cause = _WRAPPING.sub("", cause)
    return " ".join(cause.split())


def explanation(text: str) -> str:
    """Why the server ended, in one sentence: the models that failed, else its last error, else its last lines."""
    lines = text.splitlines()
    if found := load_failures(lines):
        return "; ".join(f"model {model!r} failed to load: {cause}" for model, cause in found.items())
    for pattern in _SERVER_FAILURES:
        if match := pattern.search(text):
            return match[1].rstrip(' "')
    last = [line.strip() for line in lines_to_show(lines) if line.strip() and line[0] not in "+|"]
    return f"tritonserver ended: {' / '.join(last[-3:]) or 'it wrote no log'}"
