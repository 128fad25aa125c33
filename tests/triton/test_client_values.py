"""Values of written clients: an input gets them as they stand, or a sentence says that it does not hold them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tbgen.generator.client_code import client_code
from tbgen.generator.models.config import config_from_text
from tbgen.server.embedded.server import EmbeddedServer
from tests.serving import serving
from tests.triton.test_clients import ENDINGS, LANGUAGES, RUN, answers

NUMBERS = {"whole": "INT64", "small": "UINT8", "number": "FP32", "truth": "BOOL"}
TENSOR = '{{ name: "{}" data_type: TYPE_{} dims: -1 }}'
NUMBERS_CONFIG = 'backend: "python"' + "".join(
    f" input {TENSOR.format(name, kind)} output {TENSOR.format(f'{name}s', kind)}" for name, kind in NUMBERS.items()
)
NUMBERS_MODEL = f"""
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        return [pb.InferenceResponse([self.same(request, name) for name in {list(NUMBERS)}]) for request in requests]

    def same(self, request, name):
        return pb.Tensor(name + "s", pb.get_input_tensor_by_name(request, name).as_numpy())
"""
# Values that an input does not hold, and what is said of them behind "takes".
WRONG = {
    "whole": (
        ["1.5", "1e3", "[1, 2.0]", "true", "[1, null]", '"1"', "9223372036854775808"],
        "whole numbers from -9",
    ),
    "small": (["256", "-1"], "whole numbers from 0 to 255, in digits"),
    "number": (["true", "1e39", '"1.5"', "-1e400"], "finite numbers"),
    "truth": (["1", '"true"', "[true, 0]"], "true or false"),
}
PYTHON_SAYS = """
import json, sys, python_client
for row in json.loads(sys.argv[1]):
    try:
        print(python_client.items(row))
    except SystemExit as error:
        print(error)
"""


@pytest.fixture(scope="module")
def same(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A model that gives back what it takes."""
    folder = tmp_path_factory.mktemp("same") / "numbers"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(NUMBERS_CONFIG, encoding="utf-8")
    (folder / "1" / "model.py").write_text(NUMBERS_MODEL, encoding="utf-8")
    with serving(folder.parent) as server:
        yield server


@pytest.mark.parametrize("language", LANGUAGES)
def test_values_are_sent_as_they_stand(same: EmbeddedServer, tmp_path: Path, language: str) -> None:
    row = answers(same, "numbers", language, tmp_path, "[1, -2]", "255", "[1.5, 1e3, -2, 3.4e38]", "[true, false]")[0]
    assert row.pop("numbers") == pytest.approx([1.5, 1000.0, -2.0, 3.4e38])
    assert row == {"wholes": [1, -2], "smalls": [255], "truths": [True, False]}


@pytest.mark.parametrize(
    "language", [each for each in LANGUAGES if each.values[0] not in ("python-async", "python-grpc")]
)
def test_a_value_that_would_become_another_is_refused(tmp_path: Path, language: str) -> None:
    """By the rule of tests/generator/test_json_values.py."""
    config = config_from_text(f'name: "numbers" {NUMBERS_CONFIG}')
    file = tmp_path / f"{language}_client{ENDINGS[language]}"
    file.write_text(client_code(config, language), encoding="utf-8")
    right = {"whole": "1", "small": "1", "number": "1", "truth": "true"}
    rows = {(name, wrong): list({**right, name: wrong}.values()) for name in WRONG for wrong in WRONG[name][0]}
    for (name, wrong), said in zip(rows, refusals(file, language, list(rows.values())), strict=True):
        assert (name in said, f" takes {WRONG[name][1]}" in said, "\n" in said) == (True, True, False), (wrong, said)


def refusals(file: Path, language: str, rows: list[list[str]]) -> list[str]:
    """What a client says of each command line: in one process, or compiled, where a start takes long."""
    if language == "python":
        command = [*RUN[language], "-c", PYTHON_SAYS, json.dumps(rows)]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=file.parent).stdout.splitlines()
    run = [*RUN[language], file]
    if language == "go":
        subprocess.run(["go", "build", "-o", file.with_suffix(""), file], check=True)
        run = [file.with_suffix("")]
    done = [subprocess.run([*run, "--", *row], capture_output=True, text=True, check=False) for row in rows]
    assert [(each.returncode, each.stdout) for each in done] == [(1, "")] * len(rows)
    return [each.stderr.removesuffix("\n") for each in done]
