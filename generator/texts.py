"""The one reader of texts: lines, .csv and .jsonl files and standard input, row by row as they come."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

import click

from tbgen.export.errors import NoSuchName, UserError
from tbgen.export.reading import json_from_text, refuse_special

STANDARD_INPUT = Path("-")
_COLUMNS = ("input_text", "text", "sentence", "kor_sentence", "document")  # those that are the text if none is named
_LONGEST = 64 << 20  # bytes of a line; a model refuses a text of a quarter of it

Row = str | dict[str, Any]  # a text, or its columns


@dataclass(frozen=True)
class TextFile:
    """A file of texts, one a row: .csv has a header, .jsonl an object or a string a line; any other is lines of text.

    column: the column of the text, where there are columns; None: the first of COLUMNS that is there.
    """

    path: Path
    column: str | None = None

    @property
    def name(self) -> str:
        """As messages say it."""
        return "standard input" if self.path == STANDARD_INPUT else repr(str(self.path))

    def rows(self) -> Iterator[Row]:
        """Every row, empty lines too. Raises UserError."""
        row = None
        refuse_special(self.path)
        try:
            with click.open_file(str(self.path), "rb") as stream:
                for row in self.rows_of(self.lines(cast(BinaryIO, stream))):
                    yield row
        except OSError as error:
            raise UserError(f"{self.name} cannot be read: {error.strerror}; --text takes a file of texts") from error
        except csv.Error as error:
            raise UserError(f"{self.name} is no CSV file: {error}") from error
        if row is None:
            raise UserError(f"{self.name} is empty; give it one text a line")

    def rows_of(self, lines: Iterator[str]) -> Iterator[Row]:
        """The rows of an open file."""
        kind = self.path.suffix.lower()
        if kind == ".csv":
            return csv.DictReader((f"{line}\n" for line in lines), restkey="", restval="")
        if kind == ".jsonl":
            return (self.parsed(number, line) for number, line in enumerate(lines, 1) if line.strip())
        return lines

    def lines(self, stream: BinaryIO) -> Iterator[str]:
        """The lines as text, without their ends. Raises UserError for other bytes than UTF-8, and lines without end."""
        for number, line in enumerate(iter(partial(stream.readline, _LONGEST), b""), 1):
            if len(line) == _LONGEST:
                most = f"{_LONGEST >> 20} MB"
                raise UserError(f"line {number} of {self.name} has more than {most}; give it one text a line")
            try:
                text = line.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise UserError(
                    f"line {number} of {self.name} is not UTF-8 (byte {error.start + 1} is 0x{line[error.start]:02x}); "
                    "turn it into UTF-8 first, of Korean Windows text with: iconv -f CP949 -t UTF-8"
                ) from error
            yield text.removeprefix("\ufeff") if number == 1 else text

    def parsed(self, number: int, line: str) -> Row:
        """A line of JSON. Raises UserError."""
        value: Row = json_from_text(line, f"line {number} of {self.name}")
        if not isinstance(value, str | dict):
            raise UserError(f"line {number} of {self.name} is neither a JSON object nor a JSON string: {line}")
        return value

    def texts(self) -> Iterator[str]:
        """The text of every row, empty ones too. Raises UserError."""
        return (self.text_of(row, number) for number, row in enumerate(self.rows(), 1))

    def text_of(self, row: Row, number: int) -> str:
        """The text of a row. Raises UserError."""
        if isinstance(row, str):
            return row
        chosen = self.column or next((name for name in _COLUMNS if name in row), None)
        if chosen is None:
            columns = ", ".join(filter(None, row))
            raise UserError(f"{self.name} has the columns {columns}; name the one with the text: --column NAME")
        if chosen not in row:
            raise NoSuchName("column", chosen, [*filter(None, row)])
        if not isinstance(row[chosen], str):
            raise UserError(f"{chosen!r} of row {number} of {self.name} is no text: {row[chosen]!r}")
        return str(row[chosen])

    def full_texts(self) -> list[str]:
        """The texts that hold something. Raises UserError when there are none."""
        found = [text for text in self.texts() if text.strip()]
        if not found:
            raise UserError(f"no text in {self.name}")
        return found
