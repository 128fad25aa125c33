"""Asks each model that clients ask one real text, as a container's probe: readiness says nothing of a dead process.

It runs in NVIDIA's container as it is: `python3 probe.py` beside questions.json, model -> the body of its request. It
ends with 1 where a model does not answer. One that refuses for now (HTTP 503) or lets this text wait behind others has
too much to do: it lives, and a restart would make that worse.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

_SERVER = os.environ.get("TRITON_HTTP", "http://127.0.0.1:8000")
_SECONDS, _STATS_SECONDS = 5.0, 3.0  # for an answer, and for what a model says of its others
_BUSY = 60  # seconds within which a model that lets this text wait has answered another


def _answer(address: str, seconds: float, body: bytes | None = None) -> Any:
    """What the server says to a request, as JSON."""
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=seconds) as answer:
        return json.load(answer)


def _trouble(model: str, question: Any) -> str:
    """What is wrong with a model; empty where nothing is."""
    address = f"{_SERVER}/v2/models/{urllib.parse.quote(model, safe='')}"
    try:
        outputs = _answer(f"{address}/infer", _SECONDS, json.dumps(question).encode("utf-8")).get("outputs")
    except urllib.error.HTTPError as error:
        return "" if error.code == 503 else f"{error.code}: {error.read(500).decode('utf-8', 'replace')}"
    except TimeoutError:
        return "" if _answers_others(address) else f"no answer within {_SECONDS:g} s, to nobody"
    except (OSError, ValueError) as error:
        return str(error)
    numbers = [value for output in outputs or [] for value in output["data"] if isinstance(value, float)]
    return "" if outputs and all(map(math.isfinite, numbers)) else f"its answer is none: {str(outputs)[:200]}"


def _answers_others(address: str) -> bool:
    """Whether a model has answered somebody lately."""
    try:
        stats = _answer(f"{address}/stats", _STATS_SECONDS)["model_stats"]
    except (OSError, ValueError):
        return False
    return any(time.time() - each["last_inference"] / 1000 < _BUSY for each in stats)


def main() -> None:
    """Ask all; the troubles of those that have one end the program."""
    questions = json.loads((Path(__file__).parent / "questions.json").read_text(encoding="utf-8"))
    with ThreadPoolExecutor(len(questions)) as pool:
        troubles = zip(questions, pool.map(_trouble, questions, questions.values()), strict=True)
    sys.exit("; ".join(f"{model}: {why}" for model, why in troubles if why) or None)


if __name__ == "__main__":
    main()
