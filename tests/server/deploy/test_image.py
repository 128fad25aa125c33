"""The image of `tbgen deploy image` run without it: its command, environment and user, and its models."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from tbgen.export.errors import UserError
from tbgen.generator.shared_memory import shared_memory_mib
from tbgen.server.client.connection import Connection
from tests.faults.served import processes_of
from tests.fleet.network import places
from tests.server.deploy.container import rights_of, triton_container
from tests.server.deploy.fleets import written
from tests.waiting import wait_until

FRONTS = ("kcbert_onnx_bls", "kcbert_onnx_ensemble")
TEXTS = np.array([["오늘도 상한가 갔다 🔥".encode()], [b""]], dtype=object)


def test_it_serves_as_its_user_with_nothing_but_tmp_to_write(sample_repository: Path, tmp_path: Path) -> None:
    file = written("image", sample_repository, tmp_path / "image") / "Containerfile"
    lines = (line.split(" ", 1) for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    said = dict(lines)
    environment = dict(word.split("=") for word in said["ENV"].split())
    size = f"{shared_memory_mib(sample_repository)}m"  # of the line that scaffold prints
    with ExitStack() as stack:
        (place,) = stack.enter_context(places(1))
        if not place.prefix:
            pytest.skip("no namespaces can be made here")
        command = json.loads(said["CMD"])
        triton = stack.enter_context(
            triton_container(command, environment, sample_repository, place, tmp_path, shared_memory=size)
        )
        connection = stack.enter_context(Connection(f"http://{place.host}:8000"))

        def serves(model: str) -> bool:
            try:
                return connection.ready(model)
            except UserError:  # nobody there yet
                return False

        for model in FRONTS:
            wait_until(lambda model=model: serves(model) or triton.poll() is not None)
            assert triton.poll() is None, (tmp_path / "triton.log").read_text(encoding="utf-8")
            assert connection.infer(model, {"input_text": TEXTS})["label"].shape == (2, 1)
        for process in (triton.pid, *processes_of(triton.pid).values()):
            assert rights_of(process) == (int(said["USER"].partition(":")[0]), 0, "ro")
