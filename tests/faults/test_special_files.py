"""What stands in the place of a file and is none: each reader says so, or does without, and none waits for ever."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.export.errors import UserError
from tbgen.export.files import sha256
from tbgen.export.reading import bytes_from_file, json_from_file, read_json_if_there
from tbgen.generator.check.onnx_file import NotOnnx, read_onnx
from tbgen.generator.texts import TextFile
from tests.faults.reader_files import make
from tests.faults.reader_fuzz import Hang, outcome_of
from tests.faults.readers import READERS
from tests.waiting import FOREVER


def listening(place: Path) -> None:
    """The name of a socket, by a short way to it: its address has 107 bytes at most."""
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as server:
        (Path(short) / "here").symlink_to(place.parent)
        server.bind(f"{short}/here/{place.name}")


def terabytes(place: Path) -> None:
    """A file with a hole of that size, which takes no room."""
    place.touch()
    os.truncate(place, 8 << 40)


KINDS: dict[str, Callable[[Path], None]] = {
    "folder": Path.mkdir,
    "pipe": os.mkfifo,
    "socket": listening,
    "device": lambda place: place.symlink_to("/dev/zero"),
    "loop": lambda place: place.symlink_to(place.name),
    "nothing": lambda place: place.symlink_to("nothing"),
    "of the kernel": lambda place: place.symlink_to("/proc/self/status"),
    "terabytes": terabytes,
}


@contextmanager
def in_place_of(file: Path, kind: str) -> Iterator[None]:
    """Something else under a file's name."""
    kept = file.with_name("kept aside")
    file.rename(kept)
    KINDS[kind](file)
    try:
        yield
    finally:
        if file.is_dir() and not file.is_symlink():
            shutil.rmtree(file)
        else:
            file.unlink()
        kept.rename(file)


@contextmanager
def not_for_ever() -> Iterator[None]:
    """Raise Hang in what waits for something that never comes."""

    def late(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(int(FOREVER))
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcomes(name: str, folder: Path, *kinds: str) -> Iterator[tuple[str, str, str, str]]:
    """File, kind, and what a reader makes of it."""
    reader = READERS[name]
    made = make(reader.make, folder)
    for number, file in enumerate(reader.files):
        for kind in kinds or [[*KINDS][number % len(KINDS)]]:
            with in_place_of(made / file, kind), not_for_ever():
                yield file, kind, *outcome_of(reader.read, made)


@pytest.mark.parametrize("name", ["tokenizer files", "sentence-transformers", "recipe", "steps of one's own"])
def test_a_reader_is_not_stopped(name: str, tmp_path: Path) -> None:
    assert [row for row in outcomes(name, tmp_path) if row[2] not in ("taken", "refused")] == []


@pytest.mark.soak
@pytest.mark.parametrize("name", READERS)
def test_no_reader_is_stopped(name: str, tmp_path: Path) -> None:
    found = [*outcomes(name, tmp_path, *KINDS)]
    print(f"\n{name}: {len(found)} tries, {sum(row[2] == 'refused' for row in found)} refused")
    assert [row for row in found if row[2] not in ("taken", "refused")] == []


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
@pytest.mark.parametrize("read", [bytes_from_file, sha256, read_onnx, lambda file: next(TextFile(file).rows())])
def test_what_would_never_end_is_refused(read: Callable[[Path], object], kind: str, tmp_path: Path) -> None:
    KINDS[kind](tmp_path / "file")
    with not_for_ever(), pytest.raises(UserError, match="is a pipe, a socket or a device; put a file in its place"):
        read(tmp_path / "file")


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
@pytest.mark.parametrize("file", ["kcbert_onnx_bls/1/steps.json", "kcbert_onnx/1/model.onnx"])
def test_no_model_is_run_that_would_read_it(file: str, kind: str, sample_repository: Path, tmp_path: Path) -> None:
    repository = Path(shutil.copytree(sample_repository, tmp_path / "models"))
    with in_place_of(repository / file, kind), not_for_ever():
        done = CliRunner().invoke(main, ["run", "kcbert_onnx_bls", "글", "-r", str(repository)])
    assert f"{file}' is a pipe, a socket or a device" in done.output


def test_what_a_shell_pipes_is_read() -> None:
    read, write = os.pipe()
    os.write(write, b'{"a": 1}')
    os.close(write)
    assert json_from_file(Path(f"/dev/fd/{read}")) == {"a": 1}
    os.close(read)


def test_terabytes_are_refused_at_once(tmp_path: Path) -> None:
    terabytes(tmp_path / "file")
    with pytest.raises(UserError, match="has more than 512 MB; a file of its kind has some kilobytes"):
        bytes_from_file(tmp_path / "file")
    with pytest.raises(UserError, match="has more than 1 TB; put the file in its place again"):
        sha256(tmp_path / "file")
    with pytest.raises(NotOnnx, match="cut off, or not ONNX at all"):
        read_onnx(tmp_path / "file")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("of the kernel", "terabytes")])
def test_what_only_has_the_name_of_a_file_is_not_passed_over(kind: str, tmp_path: Path) -> None:
    """As in a cache of the hub that was fetched in part: without the file a model would be read otherwise."""
    KINDS[kind](tmp_path / "tokenizer_config.json")
    with pytest.raises(UserError, match=r"tokenizer_config.json' is no file, but a folder, a pipe, or a link"):
        read_json_if_there(tmp_path, "tokenizer_config.json")


@pytest.mark.parametrize(
    "words",
    [
        ("check", "{}/loop"),
        ("serve", "{}/loop"),
        ("sbom", "{}", "-o", "{}/loop"),
        ("deploy", "copy", "{}", "{}/loop", "--no-server"),
        ("scaffold", "kcbert", "-r", "{}/loop"),
        ("run", "m", "글", "--text", "{}/loop"),
        ("run", "m", "-r", "{}", "--text", "{}/loop"),
        ("show", "m", "-r", "{}/loop"),
        ("export", "onnx", "--source", "{}/loop", "-o", "{}/out"),
        ("export", "onnx", "--source", "{}", "-o", "{}/loop"),
        ("init", "m", "-o", "{}/loop"),
    ],
)
def test_a_link_to_itself_is_a_sentence(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    done = CliRunner().invoke(main, [word.replace("{}", str(tmp_path)) for word in words])
    assert isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code
