"""A fuzzer over the readers of files: damage by a seed, and what came of it.

A try is good where the reader takes the file or refuses it in a sentence. A traceback is whatever else is raised, a
hang what takes longer than `SECONDS`, and a crash the end of the process.
"""

from __future__ import annotations

import multiprocessing
import random
import resource
import shutil
import signal
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import torch

from tbgen.cli.main import _REFUSED
from tests.faults.reader_files import make
from tests.faults.readers import READERS, Read, Reader

SECONDS = 20  # of the processor
MOST_CRASHES = 20
MEMORY = 6 << 30  # bytes that a reader may take beside what is there when it begins


class Hang(BaseException):
    """A reader took too long; no Exception, so that nothing takes it for a damaged file."""


@dataclass
class Figures:
    """What came of the tries of a reader; the numbers of the bad ones."""

    taken: int = 0
    refused: int = 0
    tracebacks: dict[str, list[int]] = field(default_factory=dict)
    hangs: list[int] = field(default_factory=list)
    crashes: list[int] = field(default_factory=list)
    sentences: Counter[str] = field(default_factory=Counter)

    @property
    def bad(self) -> str:
        """How many tries came to no good end."""
        tracebacks = sum(map(len, self.tracebacks.values()))
        return f"{tracebacks} tracebacks, {len(self.hangs)} hangs, {len(self.crashes)} crashes"

    @property
    def good(self) -> bool:
        """Whether nothing but sentences came."""
        return not (self.tracebacks or self.hangs or self.crashes)


def tries(reader: Reader, folder: Path, numbers: range, seed: int) -> Iterator[tuple[int, str, str]]:
    """Each try: its number, `taken`, `refused`, `traceback` or `hang`, and what was said."""
    whole = {name: (folder / name).read_bytes() for name in reader.files}
    for number in numbers:
        chance = random.Random(f"{seed} {number}")
        name = chance.choice(reader.files)
        (folder / name).write_bytes(reader.damage(whole[name], chance))
        yield number, *outcome_of(reader.read, folder)
        (folder / name).write_bytes(whole[name])


def outcome_of(read: Read, folder: Path) -> tuple[str, str]:
    """What a reader makes of a folder."""

    def too_long(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, too_long)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # of this process's own time, however busy the machine is
    try:
        read(folder)
    except click.ClickException as error:
        return "refused", error.message
    except OSError as error:
        if error.errno in _REFUSED:  # for which every command has a sentence
            return "refused", str(error.strerror)
        return "traceback", traceback.format_exc(limit=-4)
    except Hang:
        return "hang", traceback.format_exc(limit=-4)
    except BaseException:  # noqa: BLE001, what is looked for is whatever else is raised
        return "traceback", traceback.format_exc(limit=-4)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    return "taken", ""


def fuzz(name: str, count: int, folder: Path, seed: int = 1) -> Figures:
    """Tries of a reader, in a process of its own with a bound on its memory; after a crash another goes on."""
    figures, context = Figures(), multiprocessing.get_context("spawn")
    made = make(READERS[name].make, folder)
    start = 0
    while start < count:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(name, made, range(start, count), seed, theirs))
        process.start()
        theirs.close()
        try:
            while True:
                start = _take(figures, *ours.recv()) + 1
        except EOFError:
            process.join()
        if start < count:
            figures.crashes.append(start)
            if len(figures.crashes) > MOST_CRASHES:
                break
            start += 1
            shutil.rmtree(folder)
            folder.mkdir()
            made = make(READERS[name].make, folder)
    return figures


def _work(name: str, folder: Path, numbers: range, seed: int, pipe: Any) -> None:
    """The process of `fuzz`."""
    torch.set_num_threads(1)
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    for row in tries(READERS[name], folder, numbers, seed):
        pipe.send(row)


def _take(figures: Figures, number: int, outcome: str, said: str) -> int:
    """Count a try; its number."""
    if outcome == "taken":
        figures.taken += 1
    elif outcome == "refused":
        figures.refused += 1
        figures.sentences[said] += 1
    elif outcome == "hang":
        figures.hangs.append(number)
    else:
        figures.tracebacks.setdefault(said, []).append(number)
    return number
