"""A pipeline as SVG: boxes from the client's tensors down to the answer's, light or dark as the reader has it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.sax.saxutils import escape

from tbgen.generator.pipeline import Box, Pipeline, lines_of

_WIDTH, _MARGIN, _LINE, _ARROW = 760, 20, 20, 26
_LETTERS = 92  # of a line
_NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what no document of XML may hold
_STYLE = """
  text { font: 14px system-ui, "Noto Sans KR", sans-serif; fill: #1b1f24 }
  .model { font-weight: 600 } .faint { fill: #56606b; font-size: 12.5px }
  rect { fill: #f4f6f8; stroke: #9aa5b1 } path { stroke: #56606b; fill: none; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6e9ec } .faint { fill: #a4adb7 } rect { fill: #1d2228; stroke: #56606b } path { stroke: #a4adb7 }
  }
"""


def svg_of_pipeline(pipeline: Pipeline) -> str:
    """The drawing, with its words for those who do not see it."""
    parts, y = [], _MARGIN + _LINE
    title = " · ".join(filter(None, (pipeline.model, pipeline.task)))
    parts.append(_text(_MARGIN, y, title, "model"))
    y += 8
    for tensors, box in zip(pipeline.tensors, (*pipeline.boxes, None), strict=True):
        lines = lines_of(tensors, _LETTERS)
        height = max(_ARROW, _LINE * len(lines) + 8)
        parts += [_text(_MARGIN + 44, y + _LINE * (number + 1), line, "faint") for number, line in enumerate(lines)]
        parts.append(_arrow(y + 4, y + height - 2 if box else y + height))
        y += height
        if box:
            parts += _box(box, y)
            y += _height(box)
    size = f'width="{_WIDTH}" height="{y + _MARGIN}" viewBox="0 0 {_WIDTH} {y + _MARGIN}"'
    named = f'role="img" aria-label="{_escaped(title)}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {named}>\n<style>{_STYLE}</style>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _box(box: Box, y: int) -> Iterator[str]:
    yield f'<rect x="{_MARGIN}" y="{y}" width="{_WIDTH - 2 * _MARGIN}" height="{_height(box)}" rx="8"/>'
    yield _text(_MARGIN + 14, y + _LINE + 4, box.model, "model")
    yield _text(_WIDTH - _MARGIN - 14, y + _LINE + 4, box.about, "faint", "end")
    for number, line in enumerate(box.lines):
        yield _text(_MARGIN + 14, y + _LINE * (number + 2) + 6, line)


def _height(box: Box) -> int:
    return _LINE * (len(box.lines) + 1) + 18


def _arrow(top: int, bottom: int) -> str:
    x = _MARGIN + 24
    return f'<path d="M{x} {top}V{bottom}M{x - 5} {bottom - 6}L{x} {bottom}L{x + 5} {bottom - 6}"/>'


def _text(x: int, y: int, words: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{_escaped(words)}</text>'


def _escaped(words: str) -> str:
    """Names as data of XML; what it cannot hold, such as a terminal's escape, is a mark."""
    return escape(_NO_XML.sub("\ufffd", words), {'"': "&quot;"})
