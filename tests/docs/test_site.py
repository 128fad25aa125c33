"""The site as `make docs` builds it: every link leads somewhere, nothing is fetched, the references are whole."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

import tbgen
from tbgen.cli.main import main

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site() -> Path:
    """The folder of the site."""
    subprocess.run(["make", "-s", "tree"], cwd=ROOT, check=True)
    build = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    done = subprocess.run(build, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "griffe:" not in done.stdout, done.stdout  # what a docstring says of no parameter
    return ROOT / "build" / "site"


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    loads = re.compile(r"""<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)=["']?(?:https?:)?//[^>]*>""")
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(list(DOCS.rglob("*.md")))
    assert {str(page): loads.findall(page.read_text(encoding="utf-8")) for page in pages} == {
        str(page): [] for page in pages
    }
    assert not [sheet for sheet in site.rglob("*.css") if "url(http" in sheet.read_text(encoding="utf-8")]


def test_every_page_can_be_searched(site: Path) -> None:
    found = json.loads((site / "search.json").read_text(encoding="utf-8"))["items"]
    pages = {item["location"].partition("#")[0] for item in found}
    assert {str(page.relative_to(DOCS).with_suffix(".html")) for page in DOCS.rglob("*.md")} <= pages


def test_every_page_is_in_the_navigation() -> None:
    listed = re.findall(r"[\w/-]+\.md", yaml.safe_dump(yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]))
    assert sorted(listed) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


def test_the_reference_has_every_public_name(site: Path) -> None:
    page = (site / "reference" / "python.html").read_text(encoding="utf-8")
    assert [name for name in tbgen.__all__ if f'id="tbgen.{name}"' not in page] == ["__version__"]


def commands(group: click.Group, context: click.Context) -> dict[str, click.Command]:
    """Every command below a group: full name -> command."""
    found = {}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command
        inner = click.Context(command, info_name=name, parent=context)
        found |= {inner.command_path: command}
        found |= commands(command, inner) if isinstance(command, click.Group) else {}
    return found


def test_the_reference_has_every_command_and_option(site: Path) -> None:
    page = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    sections = dict(re.findall(r'<h[234] id="(tbgen-[\w-]+)">(.*?)(?=<h[234] id=|</article>)', page, re.DOTALL))
    for path, command in commands(main, click.Context(main, info_name="tbgen")).items():
        section = sections[path.replace(" ", "-")]
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert all(re.search(rf"[>, ]{name}\b", section) for name in option.opts), (path, option.opts)
