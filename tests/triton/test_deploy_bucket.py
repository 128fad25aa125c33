"""Upgrades in buckets, of S3 (moto) and of Google (an emulator), from which a real tritonserver serves under load."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.export.errors import UserError
from tbgen.server.client.connection import Connection
from tbgen.server.deploy.deploy import deploy, deployment_plan
from tbgen.server.deploy.stores import store_from
from tbgen.server.embedded.ports import free_ports
from tbgen.server.embedded.process import ServerProcess
from tbgen.server.embedded.wheel import assemble_backends, installed_wheel, server_environment
from tests.triton.bare import end
from tests.triton.counting import under_load, write_counting
from tests.triton.test_deploy import MODES, put
from tests.waiting import wait_until


@contextmanager
def moto(patch: pytest.MonkeyPatch, host: str = "127.0.0.1") -> Iterator[str]:
    """The address of an empty bucket in moto's S3 server, as tritonserver writes it."""
    import boto3
    from moto.server import ThreadedMotoServer

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        patch.setenv(name, "test")
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(host, port=free_ports(1)[0], verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    boto3.client("s3", endpoint_url=address).create_bucket(Bucket="models")
    yield f"s3://{address}/models"
    server.stop()


@contextmanager
def google(patch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an empty bucket in an emulator of Google's storage, which gcsfs and tritonserver are told of."""
    from gcp_storage_emulator.server import create_server

    port = free_ports(1)[0]
    for name in ("STORAGE_EMULATOR_HOST", "CLOUD_STORAGE_EMULATOR_ENDPOINT"):
        patch.setenv(name, f"http://127.0.0.1:{port}")
    logging.getLogger("gcp_storage_emulator").setLevel(logging.CRITICAL)
    server = create_server("127.0.0.1", port, in_memory=True, default_bucket="models")
    server.start()
    yield "gs://models/nlp"
    server.stop()


@pytest.fixture(scope="module", params=[moto, google])
def bucket(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an empty bucket, by kind."""
    with pytest.MonkeyPatch.context() as patch, request.param(patch) as address:
        yield address


@pytest.fixture
def url(bucket: str, tmp_path: Path) -> Iterator[str]:
    """The gRPC address of a tritonserver that polls the bucket, in which the first version lies."""
    with store_from(bucket) as store:
        deploy(deployment_plan(write_counting(tmp_path / "source", 0), store), store)
    wheel = installed_wheel()
    assemble_backends(wheel, tmp_path / "backends")
    http, port = free_ports(2)
    command = [
        str(wheel.server),
        f"--model-repository={bucket}",
        f"--backend-directory={tmp_path / 'backends'}",
        f"--backend-config=python,shm-region-prefix-name=bucket-{port}",
        "--allow-metrics=false",
        *("--http-address=127.0.0.1", "--grpc-address=127.0.0.1", f"--http-port={http}", f"--grpc-port={port}"),
        *MODES["poll"],
    ]
    log = tmp_path / "triton.log"
    process = ServerProcess(command, environment=server_environment(wheel), log=log, folder=tmp_path)
    try:
        wait_until(lambda: f"Started GRPCInferenceService at 127.0.0.1:{port}" in log.read_text(encoding="utf-8"))
        with Connection(f"127.0.0.1:{port}") as connection:
            wait_until(lambda: connection.ready("count_ensemble"))
        yield f"127.0.0.1:{port}"
    finally:
        end(process, f"bucket-{port}")


def test_upgrades_from_a_bucket_under_load(url: str, bucket: str, tmp_path: Path) -> None:
    with under_load(url) as load:
        load.answered_with(0)
        for number in (1, 2):
            source = write_counting(tmp_path / "source", number, instances=number)
            assert put(source, bucket, url) == ["count", "count_ensemble"]
            load.answered_with(number)
        with pytest.raises(UserError, match=r"NaN or infinite\); everything is as before"):
            put(write_counting(tmp_path / "source", "inf"), bucket, url)
        load.answered_with(2)
    for asker in load.askers:
        assert asker.answers in ([0, 1, 2], [0, 1, 2, float("inf"), 2])


def test_a_bucket_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    source = write_counting(tmp_path / "source", 0)
    with pytest.MonkeyPatch.context() as patch, google(patch):
        result = CliRunner().invoke(main, ["deploy", "copy", str(source), "gs://other/nlp", "--no-server"])
    assert result.exit_code == 1
    assert "Error: gs://other/nlp: " in result.output
    assert "does the bucket exist?" in result.output
