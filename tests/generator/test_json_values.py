"""What an input takes of JSON's values: one rule for commands, gateway and written clients."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tbgen.export.errors import UserError
from tbgen.generator.json_values import array_from_json
from tbgen.server.client.items import tensors_from_item


@pytest.mark.parametrize(
    ("dtype", "value", "values"),
    [
        ("int64", 2**63 - 1, 2**63 - 1),
        ("int64", [[1, -2], [3, 4]], [[1, -2], [3, 4]]),
        ("uint64", 2**64 - 1, 2**64 - 1),
        ("uint8", [0, 255], [0, 255]),
        ("float32", [1, 1.5, -1e3], [1.0, 1.5, -1000.0]),
        ("float16", 65504, 65504.0),
        ("bool", [True, False], [True, False]),
        ("object", ["금리", ""], ["금리", ""]),
        ("int64", np.array([1, 2]), [1, 2]),
        ("int64", [], []),
    ],
)
def test_what_a_data_type_holds_is_taken(dtype: str, value: Any, values: Any) -> None:
    found = array_from_json("given", np.dtype(dtype), value)
    assert (found.dtype, found.tolist()) == (np.dtype(dtype), values)


@pytest.mark.parametrize(
    ("dtype", "written", "sentence"),
    [
        ("int64", "1.5", "from -9223372036854775808 to 9223372036854775807, in digits, not 1.5"),
        ("int64", "1e3", "in digits, not 1000.0"),
        ("int64", "[1, 2.0]", "in digits, not 2.0"),
        ("int64", "[1, true]", "in digits, not true"),
        ("int64", "NaN", "in digits, not NaN"),
        ("int64", '"1"', 'in digits, not "1"'),
        ("int64", "null", "in digits, not null"),
        ("int64", "[[1], [2, 3]]", r"in digits, not \[1\]"),
        ("int64", "9223372036854775808", "in digits, not 9223372036854775808"),
        ("int32", "2147483648", "from -2147483648 to 2147483647, in digits, not 2147483648"),
        ("uint8", "-1", "whole numbers from 0 to 255, in digits, not -1"),
        ("float32", "NaN", "finite numbers, not NaN"),
        ("float32", "-Infinity", "finite numbers, not -Infinity"),
        ("float32", "1e39", r"finite numbers, not 1e\+39"),
        ("float32", "true", "finite numbers, not true"),
        ("float32", '"1.5"', 'finite numbers, not "1.5"'),
        ("float64", "1e999", "finite numbers, not Infinity"),
        ("bool", "1", "true or false, not 1"),
        ("bool", '"true"', 'true or false, not "true"'),
        ("object", "1", "texts, not 1"),
        ("object", '["금리", null]', "texts, not null"),
        ("object", '{"a": 1}', 'texts, not {"a": 1}'),
    ],
)
def test_what_it_does_not_hold_is_refused_and_never_made_another(dtype: str, written: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=rf"^'given' takes .*{sentence}$"):
        array_from_json("given", np.dtype(dtype), json.loads(written))


@pytest.mark.parametrize("value", [1.5, 1e3, True, float("nan"), "1", None])
def test_an_item_says_which_input_it_is(value: Any) -> None:
    config = {"name": "engine", "input": [{"name": "ids", "data_type": "TYPE_INT64", "dims": ["-1"]}]}
    with pytest.raises(UserError, match=r"^input 'ids' takes whole numbers from .*, in digits, not "):
        tensors_from_item(config, {"ids": [2, value]})
