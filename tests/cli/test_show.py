"""What is printed: names and labels from outside say nothing to a terminal, and programs read them as they are."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.cli.show import notes, output, print_answers, repository_tree, say, visible

HOSTILE = "\x1b]0;mine부정\u202egpj\x9b31m\x7f"
SEEN = r"\x1b]0;mine부정\u202egpj\x9b31m\x7f"


def test_what_a_terminal_obeys_is_seen() -> None:
    assert visible(HOSTILE) == SEEN
    assert visible("가격 👩‍👩‍👧\t\u3000ok\n") == "가격 👩‍👩‍👧\t\u3000ok\n"


def test_all_ways_of_printing_show_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / f"{HOSTILE}\nReady" / "1").mkdir(parents=True)
    say(HOSTILE)
    output(soft_wrap=True).print(HOSTILE)
    output(soft_wrap=True).print(repository_tree(tmp_path, [f"{HOSTILE}\nReady"]))
    print_answers([({"text": HOSTILE}, {"label": HOSTILE})])
    notes().print(HOSTILE, style="yellow")
    said = capsys.readouterr()
    assert said.out.splitlines().count(SEEN) == 2
    assert (rf"── {SEEN}\nReady/" in said.out, said.err) == (True, f"{SEEN}\n")
    assert not {*HOSTILE} & {*said.out} & {"\x1b", "\x7f", "\x9b", "\u202e"}


def test_programs_read_what_was_said(capsys: pytest.CaptureFixture[str]) -> None:
    with click.Context(click.Command("x"), obj=None) as context:
        context.meta["tbgen.json"] = True
        print_answers([({"text": HOSTILE}, {"label": "긍정"})])
    said = capsys.readouterr().out
    assert (json.loads(said), said.isascii(), visible(said)) == ({"text": HOSTILE, "label": "긍정"}, False, said)


def test_names_of_a_repository_in_findings_and_errors(tmp_path: Path) -> None:
    name = f"{HOSTILE}\nm"
    (tmp_path / name / "1").mkdir(parents=True)
    (tmp_path / name / "config.pbtxt").write_text('backend: "python"', encoding="utf-8")
    for words in (["check", str(tmp_path)], ["run", "nope", "글", "-r", str(tmp_path)]):
        said = CliRunner().invoke(main, words).output
        assert SEEN in said
        assert visible(said) == said
    (found, *_) = json.loads(CliRunner().invoke(main, ["check", str(tmp_path), "--json"]).stdout)["findings"]
    assert found["model"] == name
