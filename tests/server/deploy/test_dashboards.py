"""`tbgen deploy dashboards`: what it writes and refuses, and which alerts fire on which series, by promtool."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tbgen.cli.main import main
from tests.prometheus import NEEDS_PROMETHEUS

FILES = ("dashboard.json", "prometheus.yml", "rules.yml")


def written(folder: Path, *words: str) -> Result:
    """The command, into a folder."""
    return CliRunner().invoke(main, ["deploy", "dashboards", "-o", str(folder), *words])


def promtool(*words: str | Path, folder: Path) -> str:
    """What promtool says; it must be content."""
    done = subprocess.run(["promtool", *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@NEEDS_PROMETHEUS
def test_promtool_takes_rules_and_configuration(tmp_path: Path) -> None:
    assert written(tmp_path / "watch", "--server", "10.0.0.1", "--server", "[::1]:9002").exit_code == 0
    assert "SUCCESS: 13 rules found" in promtool("check", "rules", "rules.yml", folder=tmp_path / "watch")
    promtool("check", "config", "prometheus.yml", folder=tmp_path / "watch")


@NEEDS_PROMETHEUS
def test_alerts_fire_on_what_is_wrong_and_on_nothing_else(tmp_path: Path) -> None:
    assert written(tmp_path / "watch").exit_code == 0
    shutil.copy(Path(__file__).with_name("rules_test.yml"), tmp_path / "watch")
    promtool("test", "rules", "rules_test.yml", folder=tmp_path / "watch")


def test_each_server_is_named_and_each_graph_has_its_place(tmp_path: Path) -> None:
    assert written(tmp_path / "watch", "--server", "triton-a", "--server", "triton-b:9002").exit_code == 0
    assert 'targets:\n          - "triton-a:8002"\n          - "triton-b:9002"\n' in (
        tmp_path / "watch" / "prometheus.yml"
    ).read_text(encoding="utf-8")
    panels = json.loads((tmp_path / "watch" / "dashboard.json").read_text(encoding="utf-8"))["panels"]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert places[:3] == [(0, 0), (12, 0), (0, 8)]
    assert len({*places}) == len({panel["id"] for panel in panels}) == len(panels)


def test_edits_stay_and_other_folders_are_left_alone(tmp_path: Path) -> None:
    rules = tmp_path / "watch" / "rules.yml"
    assert written(tmp_path / "watch").exit_code == 0
    rules.write_text(rules.read_text("utf-8").replace("> 0.01", "> 0.03"), encoding="utf-8")
    assert "edited by you, kept" in written(tmp_path / "watch", "--server", "other").output
    assert "> 0.03" in rules.read_text("utf-8")
    assert written(tmp_path / "watch", "--force").exit_code == 0
    assert "> 0.03" not in rules.read_text("utf-8")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "rules.yml").write_text("groups: []", encoding="utf-8")
    assert "name another folder with --output" in written(tmp_path / "mine").output


@pytest.mark.parametrize("server", ["http://a:8002", "a:0", "a:99999", "a b", ""])
def test_what_is_no_server_is_said(server: str, tmp_path: Path) -> None:
    done = written(tmp_path / "watch", "--server", server)
    assert done.exit_code == 1
    assert done.output == f"Error: {server!r} is no address of metrics: write HOST, whose port is 8002, or HOST:PORT\n"
    assert not (tmp_path / "watch").exists()
