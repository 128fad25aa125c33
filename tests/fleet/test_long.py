"""What a fleet bears, at length and with figures: servers killed, added, replaced, models upgraded from one bucket."""

from __future__ import annotations

import http.client
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tbgen.server.deploy.deploy import deploy, deployment_plan
from tbgen.server.deploy.stores import store_from
from tests.faults.served import Clients, kill
from tests.fleet.bucket import EVERYWHERE, reading
from tests.fleet.clients import generated_clients
from tests.fleet.fleet import Fleet, Member, fleet
from tests.fleet.test_fleet import FRONT
from tests.haproxy import NEEDS_HAPROXY
from tests.server.test_commands import child_of
from tests.server.test_embedded import ended
from tests.triton.counting import under_load, write_counting
from tests.triton.test_deploy import put
from tests.triton.test_deploy_bucket import moto
from tests.waiting import wait_until

pytestmark = [pytest.mark.soak, NEEDS_HAPROXY]
FRONTS = [FRONT, "kcbert_onnx_ensemble"]


@pytest.fixture(scope="module")
def three(sample_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three servers of the sample."""
    with fleet(3, sample_repository, tmp_path_factory.mktemp("fleet")) as found:
        yield found


def test_three_servers_get_as_many(three: Fleet) -> None:
    before = three.sent("http")
    with Clients(three.port, FRONTS, each=8) as clients:
        time.sleep(30)
    got = [count - before[name] for name, count in three.sent("http").items()]
    apart = max(abs(each - sum(got) / 3) for each in got) / (sum(got) / 3)
    print(f"\n{len(clients.asked)} requests of 16 clients in 30 s: {got}, {apart:.1%} from the mean at most")
    assert clients.failed() == []
    assert apart < 0.2


def kill_each(found: Fleet, times: int) -> tuple[int, list[tuple[float, float]]]:
    """Kill one server after the other; the requests in flight on them, and when each was killed and was left out."""
    in_flight, away = 0, []
    for number in range(times):
        member = found.members[number % len(found.members)]
        wait_until(lambda member=member: found.in_flight(member) > 0)  # type: ignore[misc]
        in_flight += found.in_flight(member)
        began, triton = time.monotonic(), child_of(member.process)
        member.kill()  # all of it: `tbgen serve` gives up a Triton that ends three times within 10 s of its start
        wait_until(lambda member=member: not found.up(member))  # type: ignore[misc]
        away.append((began, time.monotonic()))
        ended(triton)
        member.begin()
        member.wait()
        wait_until(lambda member=member: found.up(member))  # type: ignore[misc]
    return in_flight, away


@pytest.mark.parametrize("retried", [True, False], ids=["HAProxy sends again", "HAProxy does not"])
def test_servers_are_killed_20_times(three: Fleet, retried: bool, tmp_path: Path) -> None:
    file = three.write(three.members)
    written = file.read_text(encoding="utf-8")
    if not retried:
        file.write_text(re.sub("retry-on .*", "retry-on none", written), encoding="utf-8")
    three.reload()
    wait_until(lambda: all(map(three.up, three.members)))
    with generated_clients(three, FRONT, tmp_path) as generated, Clients(three.port, FRONTS, each=4) as plain:
        in_flight, away = kill_each(three, 20)
    failed = plain.failed()
    print(
        f"\n20 kills, {len(plain.asked)} requests of clients that do not retry, {in_flight} in flight where one was: "
        f"{len(failed)} failed; {generated.answers.total()} answers to generated clients, {len(generated.failures)} "
        f"failed; a killed server was left out after {max(out - began for began, out in away):.1f} s at most"
    )
    file.write_text(written, encoding="utf-8")
    assert generated.failures == []
    assert not (retried and failed)
    assert all(any(each.sent <= out and began <= each.answered for began, out in away) for each in failed)


def test_a_server_that_is_ready_and_has_a_dead_model_gets_no_requests(three: Fleet) -> None:
    """`tbgen serve`, which would have the model loaded again, stands still meanwhile."""
    member = three.members[0]
    with Clients(three.port, FRONTS, each=4) as clients:
        member.process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        kill(member.processes()[FRONT])
        wait_until(lambda: not three.up(member))
        out, failed = time.monotonic() - began, clients.failed()
        assert ready(member)
        member.process.send_signal(signal.SIGCONT)
        wait_until(lambda: three.up(member))
    print(f"\na model's process killed: its server is left out after {out:.1f} s, {len(failed)} requests failed")
    assert {each.status for each in failed} <= {500}


def ready(member: Member) -> bool:
    """What Triton says of itself."""
    connection = http.client.HTTPConnection(member.place.host, member.place.ports[0])
    connection.request("GET", "/v2/health/ready")
    with closing(connection):
        return connection.getresponse().status == 200


def test_a_server_is_added_under_load(three: Fleet) -> None:
    two = three.members[:2]
    three.write(two)
    three.reload()
    wait_until(lambda: all(map(three.up, two)))
    with Clients(three.port, FRONTS, each=4) as clients:
        wait_until(lambda: len(clients.asked) > 500)
        three.write(three.members)
        three.reload()
        wait_until(lambda: all(map(three.up, three.members)))
        before, asked = three.sent("http"), len(clients.asked)
        wait_until(lambda: len(clients.asked) > asked + 1500)
        got = [count - before[name] for name, count in three.sent("http").items()]
    print(f"\na third added: {len(clients.asked)} requests, {len(clients.failed())} failed; {got} after it")
    assert clients.failed() == []
    assert max(got) - min(got) < 0.2 * sum(got) / 3


@pytest.mark.parametrize("drained", [True, False], ids=["drained", "not drained"])
def test_servers_are_replaced_one_after_the_other(three: Fleet, drained: bool, tmp_path: Path) -> None:
    three.reload()
    wait_until(lambda: all(map(three.up, three.members)))
    began = time.monotonic()
    with generated_clients(three, FRONT, tmp_path) as generated, Clients(three.port, FRONTS, each=4) as plain:
        for member in three.members:
            if drained:
                three.drain(member)
            member.stop()
            member.begin()
            member.wait()
            if drained:
                three.drain(member, "ready")
            wait_until(lambda member=member: three.up(member))  # type: ignore[misc]
    print(
        f"\n3 servers replaced in {time.monotonic() - began:.0f} s: {len(plain.asked)} requests without retries of the "
        f"client, {len(plain.failed())} failed {sorted({each.status for each in plain.failed()})}; {generated.answers} "
        f"answers to generated clients, {len(generated.failures)} failed {generated.failures[:1]}"
    )
    if drained:
        assert plain.failed() == []
        assert generated.failures == []


def test_models_are_upgraded_from_one_bucket(tmp_path: Path) -> None:
    with ExitStack() as stack:
        bucket = stack.enter_context(moto(stack.enter_context(pytest.MonkeyPatch.context()), EVERYWHERE))
        here = bucket.replace(EVERYWHERE, "127.0.0.1")
        source = write_counting(tmp_path / "source", 0)
        with store_from(here) as store:
            deploy(deployment_plan(source, store), store)
        found = stack.enter_context(fleet(3, source, tmp_path, reading(bucket, "count_ensemble")))
        load = stack.enter_context(under_load(found.grpc, ["count_ensemble"]))
        load.answered_with(0)
        for number in range(1, 6):
            write_counting(source, number)
            put(source, here, found.members[0].grpc_url)
            load.answered_with(number)  # 25 times on end: all three serve it
        sent = found.sent("grpc")
    print(
        f"\n5 versions through one bucket to 3 servers: {sum(sent.values())} requests {[*sent.values()]}, none failed"
    )


WAITING = """
import time
import numpy as np, triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        time.sleep(0.02 * len(requests))
        return [pb.InferenceResponse([pb.Tensor("number", np.zeros((1, 1), np.float32))]) for _ in requests]
"""
WAITS = """
backend: "python" max_batch_size: 1
input { name: "input_text" data_type: TYPE_STRING dims: 1 }
output { name: "number" data_type: TYPE_FP32 dims: 1 }
instance_group { kind: KIND_CPU count: 1 }
"""


def rate(host: str, port: int, models: list[str], name: str, *, seconds: float = 10.0) -> float:
    """Answers a second to 16 clients."""
    with Clients(port, models, each=16 // len(models), host=host) as clients:
        before, began = len(clients.asked), time.monotonic()
        time.sleep(seconds)
        answers, took = len(clients.asked) - before, time.monotonic() - began
    assert clients.failed() == []
    print(f"{name}: {answers / took:.0f} answers a second")
    return answers / took


def with_each_count(found: Fleet, models: list[str], what: str) -> list[float]:
    """Answers a second of one, two and three servers."""
    alone = found.members[0].place
    rate(alone.host, alone.ports[0], models, f"{what}, one without HAProxy")
    rates = []
    for count in (1, 2, 3):
        members = found.members[:count]
        found.write(members)
        found.reload()
        wait_until(lambda members=members: all(map(found.up, members)))  # type: ignore[misc]
        rates.append(rate("127.0.0.1", found.port, models, f"{what}, {count} behind HAProxy"))
    return rates


def test_throughput_on_the_same_cores(three: Fleet) -> None:
    print()
    with_each_count(three, FRONTS, "the sample")


def test_throughput_where_cores_do_not_bound_it(tmp_path: Path) -> None:
    repository = tmp_path / "models"
    (repository / "waits" / "1").mkdir(parents=True)
    (repository / "waits" / "config.pbtxt").write_text(WAITS, encoding="utf-8")
    (repository / "waits" / "1" / "model.py").write_text(WAITING, encoding="utf-8")
    print()
    with fleet(3, repository, tmp_path) as found:
        one, two, three = with_each_count(found, ["waits"], "a model that waits 20 ms")
    assert two > 1.8 * one
    assert three > 2.7 * one
