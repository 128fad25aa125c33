"""The pages of the documentation, and the commands on them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *(page for page in ROOT.glob("*.md") if page.name != "CHANGELOG.md"),  # whose commands are those of their time
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / folder / "README.md" for folder in ("backends", "benchmarks/gpu", "examples")),
    ]
)
SHELLS = ("bash", "console")
_FENCE = re.compile(
    r"(?:^ *<!-- (?P<mark>[^\n]*) -->\n+)?^ *```(?P<language>\w*)[^\n]*\n(?P<body>.*?)^ *```$", re.DOTALL | re.MULTILINE
)
_BETWEEN = {"&&", "||", "|", ";", "&", "(", ")"}
_WORDS = {"do", "done", "then", "fi", "else"}  # of the shell, before a command


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, line, language, what the comment before it says, and its text."""

    page: Path
    line: int
    language: str
    mark: str
    body: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def commands(self) -> list[str]:
        """The lines of a shell as one types them, continuations joined; what is printed left out."""
        commands: list[str] = []
        going_on = False
        for line in self.body.splitlines():
            line = line.strip()
            if going_on:
                commands[-1] = f"{commands[-1].removesuffix(chr(92))}\n{line}"
            elif self.language == "bash" and line and not line.startswith("#"):
                commands.append(line)
            elif self.language == "console" and line.startswith("$ "):
                commands.append(line[2:])
            else:
                continue
            going_on = line.endswith("\\") or len(re.findall(r"\bdo\b", commands[-1])) > commands[-1].count("done")
        return commands


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text[: each.start("body")].count("\n"), each["language"], each["mark"] or "", each["body"])
        for each in _FENCE.finditer(text)
    ]


def programs(command: str) -> Iterator[list[str]]:
    """The programs that a line runs, each with its arguments; redirections and the shell's own words left out."""
    lexer = shlex.shlex(command.replace("\n", " ; "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    tokens = iter([*lexer, ";"])
    for token in tokens:
        if token in (">", ">>", "<"):
            next(tokens)
        elif token not in _BETWEEN:
            words.append(token)
        else:
            while words and (words[0] in _WORDS or re.match(r"\w+=", words[0])):
                words.pop(0)
            if words and words[0] != "for":
                yield words
            words = []


def spans(page: Path) -> list[str]:
    """The commands `tbgen ...` in a page's sentences."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return [" ".join(span.split()) for span in re.findall(r"(?<!`)`(tbgen [^`]+)`", text)]
