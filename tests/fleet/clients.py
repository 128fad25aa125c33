"""The written clients of every language, which ask a fleet until they are stopped."""

from __future__ import annotations

import subprocess
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tbgen.generator.client_code import client_protocol
from tests.faults.served import TEXTS
from tests.fleet.fleet import Fleet
from tests.triton.test_clients import LANGUAGES, RUN, client_file

_SHARE = 25  # times all texts, in one run of a client


@dataclass
class Generated:
    """Answers by language, and what clients that failed have said."""

    commands: dict[str, Sequence[object]]
    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def ask_on(self, language: str) -> None:
        """Run a client again and again."""
        while not self.over.is_set():
            texts = TEXTS * _SHARE
            done = subprocess.run(
                [*map(str, self.commands[language]), *texts], capture_output=True, text=True, check=False
            )
            self.answers[language] += len(done.stdout.splitlines())
            if done.returncode or len(done.stdout.splitlines()) != len(texts):
                self.failures.append(f"{language}: {done.stderr}")


@contextmanager
def generated_clients(fleet: Fleet, model: str, folder: Path) -> Iterator[Generated]:
    """A client of each language that runs here, at work while the block runs, and all that it began after it."""
    languages = [str(each.values[0]) for each in LANGUAGES if not each.marks[0].args[0]]
    files = {each: client_file(fleet.repository, model, each, folder) for each in languages}
    urls = {"HTTP": fleet.http, "gRPC": fleet.grpc}
    commands: dict[str, list[object]] = {each: [*RUN[each], file] for each, file in files.items()}
    if "go" in files:  # once: `go run` links it anew each time
        commands["go"] = [files["go"].with_suffix("")]
        subprocess.run(["go", "build", "-o", *commands["go"], files["go"]], check=True)
    found = Generated({each: [*words, "--url", urls[client_protocol(each)]] for each, words in commands.items()})
    threads = [threading.Thread(target=found.ask_on, args=(each,)) for each in languages]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        found.over.set()
        for thread in threads:
            thread.join()
