"""The table of Triton's releases."""

from __future__ import annotations

import itertools

import pytest

from tbgen.export.errors import NoSuchName
from tbgen.generator.releases import RELEASES, release_named


def test_a_release() -> None:
    release = release_named("24.10")
    assert (release.server, release.python, release.onnxruntime) == ("2.51.0", (3, 10), "1.19.2")
    assert (release.opset, release.ir, release.tensorrt) == (21, 10, "10")


def test_no_such_release() -> None:
    with pytest.raises(NoSuchName, match=r"no Triton release '24\.1'.*24\.10, 24\.11"):
        release_named("24.1")


def test_nothing_goes_back() -> None:
    rows = [(row.name, row.python, row.opset, row.ir) for row in RELEASES.values()]
    assert rows == sorted(rows)
    assert all(earlier[2] <= later[2] for earlier, later in itertools.pairwise(rows))


def test_fields_are_known_from_a_release_on() -> None:
    assert [name for name in ("24.10", "24.11", "25.10") if RELEASES[name].knows("ModelConfig.model_metrics")] == [
        "24.11",
        "25.10",
    ]
    assert RELEASES["23.09"].knows("ModelConfig.name")
