"""The embedded server's life: start, models, stop with nothing left, and one sentence for each way it can fail."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tbgen.export.errors import MissingExtra, UserError
from tbgen.server.embedded import wheel
from tbgen.server.embedded.leftovers import SHARED_MEMORY, sweep
from tbgen.server.embedded.models import ServedModel, served_model
from tbgen.server.embedded.ports import free_ports
from tbgen.server.embedded.server import EmbeddedServer, server_on_free_ports
from tests.server import playground as play
from tests.waiting import FOREVER, wait_until

BROKEN = """
class TritonPythonModel:
    def initialize(self, args):
        raise FileNotFoundError("라벨 파일이\\n없습니다: labels.txt")
"""


def session_processes(session: int) -> list[str]:
    """The command names of a session's processes that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text(encoding="utf-8", errors="replace").partition("(")[2].rpartition(")")
        except (FileNotFoundError, ProcessLookupError):
            continue
        state, _, _, of_session, *_ = rest.split()
        if int(of_session) == session and state != "Z":
            found.append(name)
    return found


def ended(session: int) -> None:
    """Wait until the last of a session's processes is gone: one that is killed takes a moment."""
    wait_until(lambda: not session_processes(session))


@pytest.fixture
def measuring(tmp_path: Path) -> Path:
    """A repository with one Python model."""
    play.write_python(tmp_path / "models", "measure", f"max_batch_size: 4 {play.TEXT}")
    return tmp_path / "models"


def test_models_are_listed_by_name(server: EmbeddedServer) -> None:
    models = server.models()
    assert [model.name for model in models][:2] == ["attention", "bare"]
    assert ServedModel("lookup", "1", "READY", "", "onnxruntime", 8, ("ids",), ("found",)) in models


def test_a_model_that_went_since_it_was_listed_is_told_as_it_was(server: EmbeddedServer) -> None:
    row = {"name": "gone", "version": "1", "state": "READY"}
    assert served_model(server.call, row) == ServedModel("gone", "1", "READY", "")


def test_it_listens_on_this_machine_only(server: EmbeddedServer) -> None:
    listening = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="utf-8").splitlines()[1:]]
    ports = {f"{port:04X}" for port in server.ports.values()}
    addresses = {row[1].partition(":") for row in listening if row[3] == "0A"}
    assert {address for address, _, port in addresses if port in ports} == {"0100007F"}


def test_starting_leaves_the_repository_as_it_was_and_stopping_leaves_nothing(measuring: Path) -> None:
    before = sorted(measuring.rglob("*"))
    waited: list[float] = []
    server = server_on_free_ports(measuring)
    server.start(on_wait=waited.append)
    try:
        assert server.process is not None
        session, folder = server.process.pid, server.folder
        assert sorted(session_processes(session)) == ["triton_python_b", "tritonserver"]
    finally:
        server.stop()
    assert waited == sorted(waited)
    assert waited
    assert folder is not None
    ended(session)
    assert not folder.exists()
    assert list(SHARED_MEMORY.glob(f"{folder.name}*")) == []
    assert [path for path in sorted(measuring.rglob("*")) if "__pycache__" not in path.parts] == before


def test_a_killed_server_leaves_nothing_once_it_is_stopped(measuring: Path) -> None:
    with server_on_free_ports(measuring) as server:
        assert server.process is not None
        session, folder = server.process.pid, server.folder
        server.process.popen.kill()
        assert server.process.wait(FOREVER)
        assert not server.running()
    assert folder is not None
    ended(session)
    assert list(SHARED_MEMORY.glob(f"{folder.name}*")) == []


def test_memory_comes_in_large_pages_unless_the_user_tunes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    assert wheel.server_environment(wheel.installed_wheel())["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=1"
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=0")
    assert wheel.server_environment(wheel.installed_wheel())["GLIBC_TUNABLES"] == "glibc.malloc.check=0"


ENDLESS = """
import time

class TritonPythonModel:
    def initialize(self, args):
        while True:
            time.sleep(1)

    def execute(self, requests):
        ...
"""
LEFT = """
import os, sys
from pathlib import Path
from tbgen.server.embedded.server import server_on_free_ports
server = server_on_free_ports(Path(sys.argv[1]))
server.start()
print(server.folder, server.process.pid, flush=True)
sys.stdin.read()
"""


def test_what_is_left_of_a_killed_caller_goes_with_the_next_server(measuring: Path) -> None:
    command = [sys.executable, "-c", LEFT, str(measuring)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout is not None
        folder, session = caller.stdout.readline().split()
        caller.kill()
    ended(int(session))
    assert Path(folder).is_dir()
    with server_on_free_ports(measuring) as server:
        wait_until(lambda: not Path(folder).exists())  # another server's sweep may be at it
        wait_until(lambda: not [*SHARED_MEMORY.glob(f"{Path(folder).name}*")])
        sweep()  # one that runs stays
        assert server.ready()
        assert server.folder is not None
        assert server.folder.is_dir()


def test_http_threads_leave_cores_to_the_models_unless_clients_may_load_models(
    measuring: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def threads(cores: int, *extra: str) -> list[str]:
        monkeypatch.setattr("os.cpu_count", lambda: cores)
        arguments = server_on_free_ports(measuring, extra_arguments=extra).arguments(tmp_path, tmp_path)
        return [each for each in arguments if each.startswith("--http-thread-count")]

    assert [threads(cores) for cores in (1, 2, 6, 64)] == [[f"--http-thread-count={n}"] for n in (1, 1, 3, 8)]
    assert threads(2, "--http-thread-count=5") == ["--http-thread-count=5"]
    assert threads(2, "--model-control-mode=explicit") == []


def test_extra_arguments_reach_tritonserver_and_a_stopped_server_can_start_again(measuring: Path) -> None:
    server = server_on_free_ports(measuring, extra_arguments=["--model-control-mode=explicit"])
    for _ in range(2):
        with server:
            assert server.models() == [ServedModel("measure", "", "", "")]


def test_a_repository_may_lie_in_a_folder_with_a_korean_name(tmp_path: Path) -> None:
    repository = tmp_path / "모델 저장소"
    play.write_python(repository, "measure", f"max_batch_size: 4 {play.TEXT}")
    play.write_onnx(repository, "no_file", play.linear(), f"max_batch_size: 4 {play.LINEAR}", file="other.onnx")
    with pytest.raises(UserError) as error, server_on_free_ports(repository):
        pass
    assert error.value.message == (
        f"model 'no_file' failed to load: unable to find '{repository}/no_file/1/model.onnx' for model instance"
        " 'no_file'"
    )


def test_a_model_that_fails_to_load_is_named_with_its_cause(tmp_path: Path) -> None:
    play.write_python(tmp_path, "broken", f"max_batch_size: 4 {play.TEXT}", BROKEN)
    with pytest.raises(UserError) as error, server_on_free_ports(tmp_path):
        pass
    assert error.value.message == ("model 'broken' failed to load: FileNotFoundError: 라벨 파일이 없습니다: labels.txt")


def test_a_configuration_that_is_none_is_named_with_the_place(tmp_path: Path) -> None:
    play.write_python(tmp_path, "broken", "max_batch_size: 4 inputt { }")
    with pytest.raises(UserError) as error, server_on_free_ports(tmp_path):
        pass
    assert error.value.message == (
        f"model 'broken' failed to load: failed to read text proto from {tmp_path}/broken/config.pbtxt at line:column"
        ' 2:26: Message type "inference.ModelConfig" has no field named "inputt".'
    )


def test_a_server_that_is_not_ready_in_time_is_stopped(tmp_path: Path) -> None:
    play.write_python(tmp_path / "models", "endless", f"max_batch_size: 4 {play.TEXT}", ENDLESS)
    server = server_on_free_ports(tmp_path / "models")
    with pytest.raises(UserError, match=r"^Triton was not ready after 0 s; its log ends: "):
        server.start(seconds=0)
    assert server.process is None


def test_a_taken_port_is_named(measuring: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        http, metrics = free_ports(2)
        server = EmbeddedServer(measuring, http_port=http, grpc_port=port, metrics_port=metrics)
        with pytest.raises(UserError) as error:
            server.start()
    assert error.value.message == (
        f"gRPC port {port} on 127.0.0.1: another program listens there; stop it, or choose another port (--grpc-port)"
    )


def test_ports_must_differ(measuring: Path) -> None:
    with pytest.raises(UserError, match="the ports must differ: HTTP 8000, gRPC 8000, metrics 8002"):
        EmbeddedServer(measuring, http_port=8000, grpc_port=8000).start()


def test_a_host_may_be_a_name(measuring: Path) -> None:
    with server_on_free_ports(measuring, host="localhost") as server:
        assert [model.name for model in server.models()] == ["measure"]


def test_an_address_of_another_machine_is_named(measuring: Path) -> None:
    with pytest.raises(
        UserError, match=r"^HTTP port \d+ on 192\.0\.2\.1: cannot assign requested address; choose another"
    ):
        server_on_free_ports(measuring, host="192.0.2.1").start()


def test_a_missing_repository_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        server_on_free_ports(tmp_path / "none").start()
    assert error.value.message == (
        f"no model repository at '{tmp_path}/none'; `tbgen scaffold NAME --source CHECKPOINT "
        f"-r {tmp_path}/none` writes one"
    )


def test_an_empty_repository_is_named(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    with pytest.raises(UserError) as error:
        server_on_free_ports(tmp_path).start()
    assert error.value.message == f"no model in '{tmp_path}'; a model repository has one folder a model"


def test_a_missing_wheel_is_named_with_its_extra(measuring: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra) as error:
        server_on_free_ports(measuring).start()
    assert error.value.message == "nvidia-pytriton is not installed; it comes with: pip install 'tbgen[server]'"


@pytest.mark.parametrize("version", ["1.24.4", "1.26.4", ""])
def test_a_numpy_that_the_stub_reads_is_not_refused(version: str) -> None:
    wheel.refuse_numpy(version)


@pytest.mark.parametrize("version", ["2.0.2", "2.2.6", "2.5.5"])
def test_a_numpy_that_kills_the_stub_is_refused_with_what_to_do(version: str) -> None:
    with pytest.raises(UserError, match=rf"numpy {version} stands .* tbgen server install"):
        wheel.refuse_numpy(version)


def test_the_numpy_of_the_stub_is_not_that_of_pythonpath(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, version in (("outside", "2.2.6"), ("beside", "1.26.4")):
        (tmp_path / folder / f"numpy-{version}.dist-info").mkdir(parents=True)
        record = f"Metadata-Version: 2.1\nName: numpy\nVersion: {version}\n"
        (tmp_path / folder / f"numpy-{version}.dist-info/METADATA").write_text(record, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "outside"))
    monkeypatch.setattr("sys.path", [str(tmp_path / "outside"), str(tmp_path / "beside"), *wheel.sys.path])
    assert wheel.numpy_of_stub() == "1.26.4"


def test_a_missing_libpython_is_named(measuring: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"INSTSONAME": "libpython3.99.so.1.0", "LIBDIR": "/usr/lib", "MULTIARCH": "x86_64-linux-gnu"}
    monkeypatch.setattr(wheel.sysconfig, "get_config_var", known.get)
    with pytest.raises(UserError) as error:
        server_on_free_ports(measuring).start()
    assert error.value.message == (
        "libpython3.99.so.1.0 was not found in /usr/lib: Triton's Python models need it; on Debian and Ubuntu it is in"
        " the package libpython3.99, with pyenv build Python with --enable-shared"
    )
