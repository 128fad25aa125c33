"""On which line of a config.pbtxt each field stands."""

from __future__ import annotations

import pytest

from tbgen.generator.check.lines import Lines

TEXT = """\
name: "m"  # name: "not this one"
input [
  { name: "a" dims: [ 1, -1 ] },
  {
    name: "b"
    dims: [
      3
    ]
  }
]
output { name: "c"
  dims: -1
}
output {
  name: "d { name: 'e' }"
  dims: 2
}
parameters: {
  key: "threads"
  value: { string_value: "${threads}" }
}
ensemble_scheduling {
  step [ {
    model_name: "x"
    input_map { key: "p" value: "q" }
    input_map {
      key: "r"
      value: "s"
    }
  } ]
}
max_batch_size: ${rows}  # ${nothing}
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("name", 1),
        ("input", 2),
        ("input[0].dims", 3),
        ("input[1].name", 5),
        ("input[1].dims", 6),
        ("input[1].reshape", 4),
        ("output[1].name", 15),
        ("output[1].dims", 16),
        ('parameters["threads"]', 18),
        ("ensemble_scheduling.step[0].model_name", 24),
        ('ensemble_scheduling.step[0].input_map["p"]', 25),
        ('ensemble_scheduling.step[0].input_map["r"]', 26),
        ('ensemble_scheduling.step[0].input_map["t"]', 23),
        ("max_batch_size", 32),
        ("instance_group", None),
        ("output[2]", None),
    ],
)
def test_lines(path: str, line: int | None) -> None:
    assert Lines(TEXT).at(path) == line


def test_placeholders_outside_of_comments() -> None:
    assert Lines(TEXT).placeholders == [("${threads}", 20), ("${rows}", 32)]


@pytest.mark.parametrize("text", ["", "}}}", "{{{", '"', "input [ [ ] ] }", "한국어: ${", "a: <b: 1> c < d: 2 >"])
def test_any_text_can_be_read(text: str) -> None:
    Lines(text)
