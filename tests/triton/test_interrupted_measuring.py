"""What was measured before an interrupt is shown, and said to be a part of it: bench, tune, capacity, verify."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tbgen.server.embedded.server import EmbeddedServer
from tests.export.stopped import Stopped

FRONT = "kcbert_onnx_bls"
QUICK = ["--duration", "0.1", "--warmup", "0.1", "--requests", "4"]


def interrupted(place: str, passed: Sequence[str], *words: str) -> tuple[str, str]:
    """What a command prints, and its last complaint, that is interrupted at `place`, behind the points `passed`."""
    with Stopped(place, *words) as run:
        for point in passed:
            run.reaches(point)
            run.goes_on()
        run.reaches(place.partition(":")[2])
        run.interrupt()
        status, last = run.ends()
        assert status == 1, last
        return run.output, last


def json_in(printed: str) -> Any:
    """The JSON value in it."""
    start = min(place for place in (printed.find("{"), printed.find("[")) if place >= 0)
    return json.JSONDecoder().raw_decode(printed[start:])[0]


def test_bench_shows_the_points_it_has(kcbert_server: EmbeddedServer, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    words = ["bench", FRONT, "--url", f"http://{kcbert_server.http_url}", "--concurrency", "1,2,3", *QUICK]
    printed, last = interrupted("tbgen.server.bench.sweep:measure", ["measure"] * 2, *words, "--html", str(page))
    assert last == "Error: interrupted; what was measured before is in the report"
    said = "interrupted: 2 of 3 measurements were done; this is no whole report"
    assert (said in printed, said in page.read_text(encoding="utf-8")) == (True, True), printed
    assert ("2 clients" in printed, "3 clients" in printed) == (True, False)


def test_bench_says_in_its_json_that_it_is_a_part(kcbert_server: EmbeddedServer) -> None:
    words = [
        "bench",
        FRONT,
        "--url",
        f"http://{kcbert_server.http_url}",
        "--concurrency",
        "1,2",
        "--rounds",
        "2",
        *QUICK,
    ]
    printed, _ = interrupted("tbgen.server.bench.sweep:measure", ["measure"] * 3, *words, "--json")
    found = json_in(printed)
    assert found["missing"] == "interrupted: 3 of 4 measurements were done"
    assert found["remarks"][0].startswith(found["missing"])
    assert [(point["clients"], len(point["rounds"])) for point in found["points"]] == [(1, 2), (2, 0)]


def test_before_the_first_point_there_is_nothing_to_show(kcbert_server: EmbeddedServer) -> None:
    words = ["bench", FRONT, "--url", f"http://{kcbert_server.http_url}", "--concurrency", "1", *QUICK, "--json"]
    printed, last = interrupted("tbgen.server.bench.sweep:measure", [], *words)
    assert ("{" in printed, last) == (False, "Error: interrupted; nothing was measured as yet")


def test_capacity_shows_the_runs_it_has(kcbert_server: EmbeddedServer) -> None:
    words = ["capacity", FRONT, "--rate", "1", "--p99", "60s", "--url", f"http://{kcbert_server.http_url}"]
    place = "tbgen.server.capacity.measurement:measure"
    printed, last = interrupted(place, ["measure"] * 2, *words, "--duration", "0.1", "--json")
    assert last == "Error: interrupted; what was measured before is in the report"
    found = json_in(printed)
    assert (found["model"], found["unit"], [run["requests"] for run in found["runs"]]) == (FRONT, "characters", [1, 1])
    assert found["missing"].startswith("interrupted: not all runs were timed")


def test_tune_shows_what_it_tried_and_writes_nothing(sample_repository: Path) -> None:
    words = ["tune", FRONT, "-r", str(sample_repository), "--concurrency", "1", *QUICK, "--yes", "--json"]
    printed, last = interrupted("tbgen.server.tune.tune:measure", ["measure", "cleanup", "cleanup"], *words)
    assert (
        last
        == f"Error: interrupted; {str(sample_repository)!r} is as it was; what was measured before is in the report"
    )
    found = json_in(printed)
    assert (len(found["trials"]), found["edits"], found["written"]) == (1, {}, False)
    assert found["missing"] == "interrupted: the search did not end"


@pytest.mark.long
def test_verify_shows_what_it_compared(kcbert_server: EmbeddedServer, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("상한가\n", encoding="utf-8")
    words = ["verify", "kcbert", "-r", str(kcbert_server.repository), "--url", f"grpc://{kcbert_server.grpc_url}"]
    place = "tbgen.server.verify.verify:verify_front"
    printed, last = interrupted(place, [], *words, "--text", str(tmp_path / "texts.txt"), "--json")
    assert last == "Error: interrupted; what was compared before is in the table"
    assert [row["road"] for row in json_in(printed)] == ["kcbert_onnx (file)"]
