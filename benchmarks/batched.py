"""Batched create, 20 orders to a request, recording included: orders a second, and against one order to a request.

The exchange is the stub without latency. Timed is the whole of `Oms.submit`: rows checked and recorded durably, the
session opened, everything sent, every answer durable, the report. Beside it, told and not judged: the same requests of
20 by the venue's own client, without ledger or recording (rivals.py).
"""

from pathlib import Path
from typing import Any

from duel import Round, fsyncs, main, play, rates, ratio, rounds, timed
from exchange import Stub
from figures import Asked, Figure, Told
from rivals import bare
from runs import configured, make_key, orders, requests_of, submit_all

from oms.app.session import connect, endpoint

BATCH, SENDERS = 20, 8  # as many as a run has by default


def child(setting: dict[str, Any], directory: Path) -> None:
    """In a process of its own: rounds of all three."""
    counts, url = setting["counts"], setting["url"]
    key = make_key(directory)

    def submitted(own: Path, count: int, batch: int) -> dict[str, float]:
        config = configured(own / "ledger.sqlite3", url, key, senders=SENDERS, batch_size=str(batch))
        rows = list(orders(count))
        return timed(lambda: submit_all(config, rows, url))

    def batched(own: Path, is_warming: bool) -> dict[str, float]:
        return submitted(own, 200 if is_warming else counts["oms"], BATCH)

    def single(own: Path, is_warming: bool) -> dict[str, float]:
        return submitted(own, 20 if is_warming else counts["single"], 1)

    def without_ledger(own: Path, is_warming: bool) -> dict[str, float]:
        requests = requests_of(200 if is_warming else counts["bare"])
        jobs = [requests[n : n + BATCH] for n in range(0, len(requests), BATCH)]
        config = configured(own / "none", url, key)
        venue = connect(config, endpoint(config))
        return timed(lambda: bare(venue, jobs, SENDERS))

    play({"oms": batched, "single": single, "bare": without_ledger}, setting["rounds"], url, directory)


def measure(asked: Asked, told: Told) -> None:
    make_key(asked.directory)
    scale = 4 if asked.is_short else 1
    counts = {"oms": 12_000 // scale, "single": 1_600 // scale, "bare": 12_000 // scale}
    with Stub(0) as stub:
        setting = {"rounds": asked.rounds, "counts": counts, "url": stub.base_url}
        played: list[Round] = rounds(__file__, setting, asked.directory)
    a_second = [counts["oms"] / r["oms"]["s"] for r in played]
    told.claim("batched-rate", a_second, name=f"{BATCH} to a request, recorded and sent", note=fsyncs(played))
    shown = rates(played, counts)
    told.claim("batched-single", ratio(played, "single", counts), name="one to a request", rates=shown)
    told.add(Figure(f"no ledger, no recording, {BATCH} to a request", ratio(played, "bare", counts), "x"))


if __name__ == "__main__":
    main("batched", __doc__ or "", child, measure)
