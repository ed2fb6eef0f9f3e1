"""Errors that the kernel gives a real run: of the ledger's files, of the network, and no more descriptors.

After an error of the ledger nothing more is sent by that process. Whatever it was: no traceback, an exit code that says
how things stand, and the same command once more makes it whole.
"""

import itertools
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from oms.lab.judge import judge
from tests.crash.lives import Nursery, World, copy_world, give_key, new_world
from tests.lab import sample
from tests.lab.real import strace
from tests.lab.real.strace import Call, Inject, TracedLife, WaitingNursery

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tracing"), pytest.mark.timeout(300)]

SETTINGS = {
    "submit__in_flight_horizon_s": "0.3",
    "submit__batch_size": "1",
    "submit__concurrency": "1",
    "submit__wait_s": "1",
    "venue__timeout_s": "2",
}
ROWS = [{"ticker": "SBXRAIN-A-T10", "side": "bid", "price": f"0.0{n}", "count": "1"} for n in range(1, 5)]


@dataclass(frozen=True)
class Family:
    """An error at one call after the other of a name, until it comes no more."""

    name: str
    error: str
    step: int  # from one position to the next
    floor: int  # fewer errors would mean that the harness has gone blind
    is_sticky: bool = False  # from that call on, or once
    on_files: bool = False  # of the ledger's files alone

    def __str__(self) -> str:
        return f"{self.name} {self.error} {'sticky' if self.is_sticky else 'once'}"


# The first writes of a run make the shared memory and the log; then come the recording, a claim and an answer for each
# order, the mark in between, and the checkpoint at the end. Sends and receives are counted for each thread.
FAMILIES = [
    Family("fdatasync", "EIO", 1, 9),
    Family("fdatasync", "EIO", 2, 5, is_sticky=True),
    Family("fdatasync", "ENOSPC", 3, 3, is_sticky=True),
    Family("pwrite64", "EIO", 9, 10),
    Family("pwrite64", "ENOSPC", 17, 5, is_sticky=True),
    Family("fsync", "EIO", 1, 1),
    Family("ftruncate", "EIO", 1, 1),
    Family("sendto", "ECONNRESET", 1, 4),
    Family("sendto", "EPIPE", 2, 2, is_sticky=True),
    Family("recvfrom", "ECONNRESET", 1, 4),
    Family("recvfrom", "ECONNRESET", 4, 2, is_sticky=True),
    Family("connect", "ECONNREFUSED", 1, 1),
    Family("connect", "ENETUNREACH", 1, 1, is_sticky=True),
    Family("socket", "EMFILE", 1, 1),
    Family("socket", "EMFILE", 1, 1, is_sticky=True),
    Family("openat", "EMFILE", 2, 6, on_files=True),
    Family("openat", "EMFILE", 7, 2, is_sticky=True, on_files=True),
]
SAMPLE = [(FAMILIES[0], 6), (FAMILIES[4], 48), (FAMILIES[8], 1), (FAMILIES[15], 9)]


def suffered(world: World, waiting: WaitingNursery, family: Family, nth: int) -> TracedLife:
    """A run of four orders that meets the error."""
    inject = Inject(family.name, f"error={family.error}", f"{nth}+" if family.is_sticky else f"{nth}")
    paths = strace.ledger_files(world) if family.on_files else []
    return strace.forked(world, waiting, ["submit", world.file(ROWS)], [family.name, "sendto"], [inject], paths)


def is_send(call: Call) -> bool:
    return call.name == "sendto" and call.strings[0].startswith((b"POST", b"DELETE"))


def sent_after_ledger_error(life: TracedLife) -> list[Call]:
    """Write requests that began after a call on the ledger or its log had failed, but for what was under way.

    The one sender may have taken up a request whose claim was durable before.
    """
    failed = [call.begun for call in life.calls if call.was_injected and call.path.endswith((".sqlite3", "-wal"))]
    sends = [call for call in life.calls if is_send(call)]
    before = [call for call in sends if failed and call.begun < failed[0]]
    after = [call for call in sends if failed and call.begun > failed[0]]
    return after[1:] if before else after


def wrong(world: World, life: TracedLife) -> list[str]:
    """What is not as it has to be after a run that met an error, and after the same command once more."""
    found = [f"after an error of the ledger: {call}" for call in sent_after_ledger_error(life)]
    if life.code not in (0, 1, 3, 6) or "Traceback" in life.err or "internal error" in life.err:
        found.append("it ended badly")
    again = world.live("submit", world.file(ROWS))
    found += [] if again.code == 0 else [f"the same command again: {again}"]
    found += [] if world.live("reconcile").code == 0 else ["reconcile did not end well"]
    found += map(str, judge(world.ledger, world.exchange, is_settled=True))
    if len(world.sandbox.orders()) != len(ROWS):
        found.append(f"{len(world.sandbox.orders())} orders at the exchange")
    injected = [str(call) for call in life.calls if call.was_injected]
    return [*found, *injected[:3], str(life)] if found else []


@pytest.fixture
def template(tmp_path: Path, nursery: Nursery, exchange_key: Path) -> Path:
    """The files of a world whose ledger has been made."""
    give_key(tmp_path / "template", exchange_key)
    with new_world(tmp_path / "template", nursery, SETTINGS, tier="unlimited") as world:
        assert world.live("reconcile").code == 0
    return tmp_path / "template"


def met(template: Path, nursery: Nursery, waiting: WaitingNursery, family: Family, nth: int) -> bool:
    """Whether the error came; fails when something is wrong after it."""
    place = template.with_name(f"{family} {nth}".replace(" ", "-"))
    copy_world(template, place)
    with new_world(place, nursery, SETTINGS, tier="unlimited") as world:
        life = suffered(world, waiting, family, nth)
        came = any(call.was_injected for call in life.calls)
        found = wrong(world, life)
        assert not found, "\n".join([f"{family} at call {nth}", *found])
    shutil.rmtree(place)
    return came


@pytest.mark.parametrize(("family", "nth"), SAMPLE, ids=str)
def test_after_an_error_of_the_kernel_nothing_more_is_sent_and_the_next_run_makes_it_whole(
    template: Path, nursery: Nursery, waiting: WaitingNursery, family: Family, nth: int
) -> None:
    assert met(template, nursery, waiting, family, nth)


@pytest.mark.lab
@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_an_error_of_the_kernel_at_one_call_after_the_other(
    template: Path,
    nursery: Nursery,
    waiting: WaitingNursery,
    family: Family,
    record_property: Callable[[str, object], None],
) -> None:
    step = family.step * sample.stride(3)
    positions = itertools.count(1, step)
    errors = sum(1 for _ in itertools.takewhile(lambda nth: met(template, nursery, waiting, family, nth), positions))
    record_property("counted", f"errors of the kernel{sample.told(3)}: {family}: at {errors} calls")
    assert errors >= max(1, family.floor // sample.stride(3))
