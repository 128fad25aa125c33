"""docs/reference/tasks.md: each task's question in its four ways, asked as it stands; answers of the shape shown."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.export.tasks.table import TASKS
from tbgen.server.embedded.server import EmbeddedServer
from tests.server.gateway.running import Asked

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "tasks.md").read_text(encoding="utf-8")
SECTION = re.compile(
    r"^### ([\w-]+)\n.*?test_tasks_page.py -->\n```bash\n(.*?)```\n\n```json\n(.*?)```", re.DOTALL | re.MULTILINE
)
SECTIONS = {task: (asked.splitlines(), said.splitlines()) for task, asked, said in SECTION.findall(PAGE)}


def form(value: Any) -> Any:
    """What a JSON value is made of: an object's keys, a list's first, the type of all else."""
    if isinstance(value, dict):
        return {key: form(each) for key, each in value.items() if key != "shape"}  # the page's vector is cut short
    if isinstance(value, list):
        return [form(value[0])] if value else []
    return float if isinstance(value, int | float) else type(value)


def test_every_task_has_a_section() -> None:
    assert sorted(SECTIONS) == sorted(TASKS)


@pytest.mark.parametrize("task", SECTIONS)
def test_the_four_ways_answer_as_shown(every_task: EmbeddedServer, gateway: Asked, task: str) -> None:
    commands, answers = SECTIONS[task]
    places = {"localhost:8000": every_task.http_url, "localhost:8080": f"127.0.0.1:{gateway.port}"}
    said = []
    for command in commands:
        words = shlex.split(command)
        if words[0] == "tbgen":
            said.append(CliRunner().invoke(main, [*words[1:], "--url", f"grpc://{every_task.grpc_url}"]).stdout)
        else:
            place = next(place for place in places if place in words[1])
            words[1] = words[1].replace(place, places[place])
            said.append(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    assert [form(json.loads(each)) for each in said] == [form(json.loads(each)) for each in answers]
