"""On which line of a config.pbtxt each field stands."""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""(?P<newline>\n)
    |(?P<space>[ \t\r,;]+|\#[^\n]*)
    |(?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
    |(?P<placeholder>\$\{[^}\n]*\}?)
    |(?P<mark>[:{}<>\[\]])
    |(?P<word>[^\s,;:{}<>\[\]"'\#]+)
    |(?P<other>.)""",
    re.VERBOSE,
)
_OPENING, _CLOSING = "{<", "}>"


class Lines:
    """The lines of the fields of one text: `at("input[1].dims")`, `at('parameters["key"]')`.

    A text that is not quite a protobuf message gives what could be read; nothing is raised.
    """

    def __init__(self, text: str) -> None:
        self.lines: dict[str, int] = {}
        self.placeholders: list[tuple[str, int]] = []
        self.read(text)

    def at(self, path: str) -> int | None:
        """The line of a field, or of the nearest message around it; None when neither is written out."""
        *parents, last = path.split(".")
        names = [*(name if name.endswith("]") else f"{name}[0]" for name in parents), last]
        while names and ".".join(names) not in self.lines:
            names.pop()
        return self.lines.get(".".join(names))

    def read(self, text: str) -> None:
        """One pass over the tokens, with the path of the open messages on a stack."""
        line, field, value_next, is_list = 1, "", False, False
        open_paths, counts = [""], [dict[str, int]()]
        for token in _TOKEN.finditer(text):
            kind, written = token.lastgroup, token[0]
            if kind == "newline":
                line += 1
            elif kind == "word" and not value_next and not is_list:
                field = self.note(open_paths[-1], counts[-1], written, line)
            elif written == ":":
                value_next = True
            elif written in ("[", "]"):
                is_list, value_next = written == "[", False
            elif kind == "mark" and written in _OPENING:
                if is_list:
                    field = self.note(open_paths[-1], counts[-1], _field_name(field), line, again=True)
                open_paths.append(field)
                counts.append({"list": int(is_list)})
                value_next = is_list = False
            elif kind == "mark" and written in _CLOSING and len(open_paths) > 1:
                field = open_paths.pop()
                is_list, value_next = bool(counts.pop()["list"]), False
            elif kind in ("text", "word", "placeholder"):
                self.note_value(open_paths[-1], field, written, line)
                value_next = False

    def note(self, parent: str, counts: dict[str, int], name: str, line: int, *, again: bool = False) -> str:
        """Remember a field's line under its name and, as it may be repeated, under its name with its number."""
        if again and f"{name}#" not in counts:
            counts[f"{name}#"] = 1
            counts[name] = 0
        number = counts.get(name, 0)
        counts[name] = number + 1
        prefix = f"{parent}." if parent else ""
        self.lines.setdefault(f"{prefix}{name}", line)
        self.lines[f"{prefix}{name}[{number}]"] = line
        return f"{prefix}{name}[{number}]"

    def note_value(self, parent: str, field: str, written: str, line: int) -> None:
        """Remember an entry of a map under its key, and what a template left unfilled."""
        self.placeholders += [(found, line) for found in re.findall(r"\$\{[^}]*\}?", written)]
        if parent and field == f"{parent}.key[0]":
            self.lines[f'{parent.rpartition("[")[0]}["{written[1:-1]}"]'] = self.lines[parent]


def _field_name(path: str) -> str:
    """The name at the end of a path, without its number."""
    return path.rpartition(".")[2].partition("[")[0]
