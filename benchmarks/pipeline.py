"""What the ledger costs an order on its way: the crash-safe pipeline against the same signed POSTs without a ledger.

The exchange is a stub, with 20 ms of latency or none, one order to a request. oms claims each order durably before its
first byte leaves, and records its answer. Timed for oms: the sending of recorded orders, from the open session to the
last answer durable and every thread ended (`Drive.go`). Timed for a rival (rivals.py): starting as many threads until
the last has ended.

- against `bare`: the venue's own client, the same HTTP path, no ledger; by 1, 8 and 16 senders, with 4 ms added to
  every fsync and fdatasync of the process (slowdisk.c, preloaded), and with an exchange that takes no time at all
- against `sessions`, there: a plain `requests.Session` of each thread
"""

from pathlib import Path
from typing import Any

from duel import NOT_SLOW, Rival, Round, fsyncs, main, play, rates, ratio, rounds, slow_disk, timed
from exchange import Stub
from figures import Asked, Figure, Told
from rivals import Account, bare, sessions
from runs import configured, make_key, orders, requests_of, send_all, wires

from oms import Oms
from oms.app.session import connect, endpoint
from oms.interrupt import Interrupt

LATENCY_MS = 20
SLOW_US = 4_000
CPU_SENDERS = 8  # of the runs without latency: as many as a run has by default
COUNTS = {1: 60, 8: 400, 16: 1_000}  # orders of a sample, by senders: a second or two


def child(setting: dict[str, Any], directory: Path) -> None:
    """In a process of its own: the rounds of one setting."""
    count, senders, url = setting["count"], setting["senders"], setting["url"]
    key = make_key(directory)

    def with_ledger(own: Path, is_warming: bool) -> dict[str, float]:
        config = configured(own / "ledger.sqlite3", url, key, senders=senders)
        with Oms(config, Interrupt()) as oms:
            oms.submit(orders(2 * senders if is_warming else count), send=False)
        sent = send_all(config)
        return {"s": sent.send_s, "cpu_s": sent.cpu_s, "start_s": sent.start_s}

    def without_ledger(own: Path, is_warming: bool) -> dict[str, float]:
        config = configured(own / "none", url, key)
        jobs = [[request] for request in requests_of(2 * senders if is_warming else count)]
        venue = connect(config, endpoint(config))
        return timed(lambda: bare(venue, jobs, senders))

    def plain_sessions(own: Path, is_warming: bool) -> dict[str, float]:
        account = Account(url.partition("/trade-api")[0], key)
        given = wires(2 * senders if is_warming else count)
        return timed(lambda: sessions(account, given, senders))

    rivals: dict[str, Rival] = {"bare": without_ledger, "oms": with_ledger, "sessions": plain_sessions}
    play({name: rivals[name] for name in ("oms", *setting["rivals"])}, setting["rounds"], url, directory)


def tell(told: Told, claim: str, name: str, played: list[Round], count: int, rival: str) -> None:
    counts = dict.fromkeys(("oms", rival), count)
    told.claim(claim, ratio(played, rival, counts), name=name, rates=rates(played, counts), note=fsyncs(played))


def cpu_of_ledger(told: Told, name: str, played: list[Round], count: int) -> None:
    spent = [(r["oms"]["cpu_s"] - r["bare"]["cpu_s"]) / count * 1e6 for r in played]
    told.add(Figure(f"{name}: CPU of the ledger, an order", spent, "us"))


def measure(asked: Asked, told: Told) -> None:
    make_key(asked.directory)
    scale = 4 if asked.is_short else 1

    def measured(stub: Stub, senders: int, count: int, rivals: list[str], slow: dict[str, str] | None) -> list[Round]:
        setting = {"rounds": asked.rounds, "count": count, "senders": senders, "rivals": rivals, "url": stub.base_url}
        return rounds(__file__, setting, asked.directory, slow)

    with Stub(LATENCY_MS) as stub:
        for senders, count in COUNTS.items():
            if asked.is_short and senders != 16:
                continue
            count //= scale
            played = measured(stub, senders, count, ["bare"], None)
            tell(told, f"send-{senders}", f"no ledger, 20 ms, {senders} senders", played, count, "bare")
        cpu_of_ledger(told, "20 ms, 16 senders", played, count)
        starts = [r["oms"]["start_s"] * 1000 for r in played]
        told.add(Figure("opening the session", starts, "ms", note="not in the ratios: 5 reads in sequence"))
        slow = slow_disk(asked.directory, SLOW_US)
        if slow is None:
            told.skip("slow-disk-16", NOT_SLOW)
        else:
            played = measured(stub, 16, count, ["bare"], slow)
            tell(told, "slow-disk-16", "no ledger, 20 ms, 16 senders, fsync + 4 ms", played, count, "bare")
    with Stub(0) as stub:
        count = 1_600 // scale
        played = measured(stub, CPU_SENDERS, count, ["bare", "sessions"], None)
        tell(told, "cpu-same", f"no ledger, 0 ms, {CPU_SENDERS} senders", played, count, "bare")
        tell(told, "cpu-requests", f"plain Sessions, 0 ms, {CPU_SENDERS} senders", played, count, "sessions")
        cpu_of_ledger(told, f"0 ms, {CPU_SENDERS} senders", played, count)


if __name__ == "__main__":
    main("pipeline", __doc__ or "", child, measure)
