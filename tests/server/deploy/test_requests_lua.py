"""requests.lua held against Python's own reader of JSON, on documents as odd as JSON allows: HAProxy runs it alone."""

from __future__ import annotations

import http.client
import json
import math
import random
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.server.embedded.ports import free_ports
from tests.faults.wire_cases import SIZES
from tests.haproxy import NEEDS_HAPROXY, proxying
from tests.server import playground as play

pytestmark = NEEDS_HAPROXY
COUNT = 1000
KEYS = ["classification", "shape", "data", "inputs", "한글", "", "a b"]
PIECES = ["classification", '"', "\\", '":', "[", "]", "{", "}", ",", "shape", "1", "가", "🔥", "\n", "\x07", "/"]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """HAProxy before a server that is not there: what is let through is answered 503."""
    folder = tmp_path_factory.mktemp("edge")
    play.write_python(folder / "models", "measure", f"max_batch_size: 4 {play.TEXT}")
    command = ["deploy", "haproxy", str(folder / "models"), "--server", "127.0.0.1:1:2", "-o", str(folder / "haproxy")]
    assert CliRunner().invoke(main, command).exit_code == 0
    names = ("HTTP", "GRPC", "METRICS")
    places = {f"HAPROXY_{name}": f"127.0.0.1:{port}" for name, port in zip(names, free_ports(3), strict=True)}
    with proxying(folder / "haproxy" / "haproxy.cfg", folder / "admin", places):
        yield places["HAPROXY_HTTP"]


def text_of(rng: random.Random, value: Any) -> str:
    """A document as JSON, with spaces and escapes where it may have some."""
    space = rng.choice(["", "", " ", "\n\t"])
    if isinstance(value, dict):
        rows = (f"{space}{string_of(rng, key)}{space}:{space}{text_of(rng, each)}" for key, each in value.items())
        return "{" + f"{space},".join(rows) + space + "}"
    if isinstance(value, list):
        return "[" + f"{space},{space}".join(text_of(rng, each) for each in value) + space + "]"
    return string_of(rng, value) if isinstance(value, str) else json.dumps(value)


def string_of(rng: random.Random, text: str) -> str:
    """A string, some of its letters as escapes."""
    some = rng.random() < 0.2

    def letter(char: str) -> str:
        if some and rng.random() < 0.3 and char < "\uffff":
            return f"\\u{ord(char):04x}"
        return json.dumps(char, ensure_ascii=rng.random() < 0.5)[1:-1]

    return f'"{"".join(map(letter, text))}"'


def document(rng: random.Random, depth: int = 0) -> Any:
    """A random value, with more lists and objects at the top."""
    kind = rng.random() + depth * 0.15
    if kind < 0.5:
        return {rng.choice(KEYS) if rng.random() < 0.4 else words(rng): document(rng, depth + 1) for _ in range(3)}
    if kind < 0.8:
        return [document(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind < 0.9:
        return [rng.choice([0, 1, 3, 2**31, 2**40]) for _ in range(rng.randrange(4))]
    return rng.choice([words(rng), words(rng), 1, -2.5, None, True])


def words(rng: random.Random) -> str:
    return "".join(rng.choice(PIECES) for _ in range(rng.randrange(6)))


def is_refused(text: str) -> bool:
    """What requests.lua shall refuse, by the document that Python reads."""
    most = len(text.encode())

    def look(pairs: list[tuple[str, Any]]) -> None:
        for key, value in pairs:
            found.append(key == "classification" or (key == "shape" and not is_shape(value, most)))

    found: list[bool] = []
    json.loads(text, object_pairs_hook=look)
    keys = re.findall(r'"((?:[^"\\]|\\.)*)"\s*(:?)', text, re.DOTALL)
    return any(found) or any(colon and re.search(r"\\u00[0-7]", key) for key, colon in keys)


def is_shape(value: Any, most: int) -> bool:
    whole = isinstance(value, list) and all(type(each) is int and each >= 0 for each in value)
    return whole and all(each <= most for each in value) and math.prod(value) <= most


def test_every_document_is_read_as_python_reads_it(address: str) -> None:
    rng, connection = random.Random(7), http.client.HTTPConnection(address)
    told = {True: 0, False: 0}
    for number in range(COUNT):
        text = text_of(rng, {"inputs": document(rng)})
        connection.request("POST", "/v2/models/measure/infer", text.encode("utf-8"))
        answer = connection.getresponse()
        said = answer.read().decode("utf-8")
        assert (answer.status, number, text) == (400 if is_refused(text) else 503, number, text), said
        told[answer.status == 400] += 1
    connection.close()
    assert json.loads(said)["error"]
    assert min(told.values()) > COUNT / 10


def binary_request(rng: random.Random, *, broken: bool) -> tuple[bytes, bytes]:
    """A document, and behind it the values of some of its tensors; `broken`: those of one end a byte early."""
    tensors, tail = [], b""
    kinds = [*rng.choices([*SIZES, "BYTES"], k=rng.randrange(3)), "BYTES"]
    for number, kind in enumerate(rng.sample(kinds, len(kinds))):
        tensor = {"name": f"t{number}", "shape": [1, 1], "datatype": kind, "parameters": {"a": {"b": [1]}}}
        if kind == "BYTES" and rng.random() < 0.3 and number < len(kinds) - 1:
            tensors.append(tensor | {"data": [words(rng)]})
            continue
        text = words(rng).encode() + b"."
        raw = len(text).to_bytes(4, "little") + text if kind == "BYTES" else rng.randbytes(SIZES[kind])
        if broken and kind == "BYTES":
            raw, broken = raw[:-1], False
        tensors.append({**tensor, "parameters": {**tensor["parameters"], "binary_data_size": len(raw)}})
        tail += raw
    request = {"id": "1", "inputs": tensors, "outputs": [{"name": "o", "parameters": {"binary_data": True}}]}
    if broken:  # none of them was
        return binary_request(rng, broken=True)
    return json.dumps(dict(rng.sample([*request.items()], 3))).encode(), tail


def asked(address: str, document: bytes, tail: bytes) -> tuple[int, str]:
    """What a request of the binary extension is answered."""
    length = {"Inference-Header-Content-Length": str(len(document))}
    with closing(http.client.HTTPConnection(address)) as connection:
        connection.request("POST", "/v2/models/measure/infer", document + tail, length)
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8")


def test_strings_that_are_cut_short_do_not_pass(address: str) -> None:
    rng = random.Random(7)
    for number in range(300):
        document, tail = binary_request(rng, broken=number % 2 == 1)
        status, said = asked(address, document, tail)
        assert (number, status) == (number, 400 if number % 2 else 503), (document, tail, said)
        assert ("cut short" in said) == (number % 2 == 1)


@pytest.mark.parametrize(
    "tensor",
    [
        '{"datatype": "BYT\\u0045S", "parameters": {"binary_data_size": 6}}',
        '{"parameters": {"binary_data_size": 6}, "datatype": "BYTES"}',
        '{"datatype": "FP32", "datatype": "BYTES", "parameters": {"binary_data_size": 6}}',
        '{"datatype": "BYTES", "x": {"binary_data_size": 0}, "parameters": {"binary_data_size": 6}}',
        '{"datatype": "BYTES", "parameters": {"binary_data_size": 5}}',
        '{"datatype": "FP16", "data": [1], "x": {"binary_data_size": 2}}, '
        '{"datatype": "BYTES", "parameters": {"binary_data_size": 6}}',
        '{"datatype": "BYTES", "parameters": {"binary_data_size": 6.0}}',
        '{"datatype": "BYTES", "parameters": {"binary_data_size": "6"}}',
        '{"datatype": "BYTES", "parameters": {"binary_data_size": 99}}',
    ],
)
def test_what_hides_such_a_string_does_not_pass(address: str, tensor: str) -> None:
    document = '{"inputs": [' + tensor + "]}"
    assert asked(address, document.encode(), b"\x03\0\0\0ab")[0] == 400
