"""docs/how-to/extend.md, run as it stands: its code is written, its `tbgen` commands are called."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.generator.steps.load import steps_from_folder
from tests.backends.served import column

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "extend.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^( *)```(\w+) ?([\w.]*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def test_the_page_works_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    commands = []
    for _, language, file, body in BLOCK.findall(PAGE):
        if language == "python":
            Path(file).write_text(textwrap.dedent(body), encoding="utf-8")
        for line in body.splitlines() if language == "bash" else []:
            program, *arguments = shlex.split(line)
            if program == "tbgen":
                done = CliRunner().invoke(main, arguments)
                assert done.exit_code == 0, f"{line}\n{done.output}"
                commands.append(arguments[:2])
            elif arguments[:2] == ["-m", "pytest"]:
                subprocess.run([sys.executable, *arguments, "-q"], check=True, cwd=tmp_path)
                commands.append(arguments[1:])
    tried = ["pytest", "test_clean.py"]
    assert commands == [["step", "new"], tried, tried, ["step", "test"], ["scaffold", "kcbert"], ["scaffold", "kcbert"]]
    clean = steps_from_folder(tmp_path / "model_repository" / "kcbert_clean" / "1")[0]  # which stands apart in the end
    assert clean(input_text=column("<b>상한가</b>"))["input_text"].tolist() == [["_상한가_"]]
    assert len((tmp_path / "clean.py").read_text(encoding="utf-8").splitlines()) < 25


def test_a_step_that_does_not_fit_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(main, ["step", "new", "sure", "--post"])
    text = (
        Path("sure.py").read_text(encoding="utf-8").replace('"score"', '"probability"').replace("score", "probability")
    )
    Path("sure.py").write_text(text, encoding="utf-8")
    done = CliRunner().invoke(main, ["scaffold", "kcbert", "--post", "sure.py"])
    assert done.exit_code == 1
    assert "Error: Sure takes probability, which no step before it gives; there is: " in done.output
    assert not Path("model_repository").exists()
