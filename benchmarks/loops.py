"""Against what one would write instead: Kalshi's quick-start loop, and a careful loop with a ledger of its own.

Timed for oms is the whole of `Oms.submit`: rows checked and recorded durably, the session opened (the account read
included), everything sent, every answer durable, the report. Timed for a loop: the loop (rivals.py).

- the quick-start loop keeps no ledger and opens a connection for every order. The exchange takes 20 ms. Over TLS the
  stub's certificate comes from a throw-away authority; both sides verify it with the same bundle, that of `requests`
  with this authority behind it: the loop by `verify=FILE`, oms by the `tls` argument of its venue, as its
  configuration has no other authorities than the bundled ones.
- the careful loop commits each order before it posts it over one `requests.Session`, and commits the answer, with
  SQLite settings as durable as ours. The exchange takes no time; then the same with 5 ms added to every fsync.
"""

from pathlib import Path
from typing import Any

import certificates
from duel import NOT_SLOW, Rival, fsyncs, main, play, rates, ratio, rounds, slow_disk, timed
from exchange import PREFIX, Stub
from figures import Asked, Told
from rivals import Account, careful_loop, guide_loop
from runs import configured, make_key, orders, submit_all, wires

LATENCY_MS = 20
SLOW_US = 5_000


def child(setting: dict[str, Any], directory: Path) -> None:
    """In a process of its own: the rounds of one setting."""
    counts, host = setting["counts"], setting["host"]
    key, bundle = make_key(directory), setting.get("bundle")
    account = Account(host, key, bundle or True)

    def oms(own: Path, is_warming: bool) -> dict[str, float]:
        config = configured(own / "ledger.sqlite3", setting["url"], key, senders=setting["senders"])
        rows = list(orders(32 if is_warming else counts["oms"]))
        tls = certificates.trust(Path(bundle)) if bundle else None
        return timed(lambda: submit_all(config, rows, host + PREFIX, tls))

    def guide(own: Path, is_warming: bool) -> dict[str, float]:
        given = wires(2 if is_warming else counts["guide"])
        return timed(lambda: guide_loop(account, given))

    def careful(own: Path, is_warming: bool) -> dict[str, float]:
        given = wires(2 if is_warming else counts["careful"])
        return timed(lambda: careful_loop(account, given, own / "orders.sqlite3"))

    rivals: dict[str, Rival] = {"oms": oms, "guide": guide, "careful": careful}
    play({name: rivals[name] for name in counts}, setting["rounds"], setting["url"], directory)


def measure(asked: Asked, told: Told) -> None:
    make_key(asked.directory)
    scale = 3 if asked.is_short else 1
    server, bundle = certificates.make(asked.directory)

    def tell(claim: str, name: str, counts: dict[str, int], setting: dict[str, Any], slow: dict[str, str]) -> None:
        counts = {who: count // scale for who, count in counts.items()}
        played = rounds(__file__, {"rounds": asked.rounds, "counts": counts, **setting}, asked.directory, slow)
        (rival,) = set(counts) - {"oms"}
        told.claim(claim, ratio(played, rival, counts), name=name, rates=rates(played, counts), note=fsyncs(played))

    with Stub(LATENCY_MS, server) as stub:
        plain = {"host": stub.host, "url": stub.base_url, "senders": 16}
        tell("quick-start-http", "quick-start loop, 20 ms, http", {"oms": 1_200, "guide": 45}, plain, {})
        secure = {**plain, "host": stub.secure_host, "bundle": str(bundle)}
        tell("quick-start-tls", "quick-start loop, 20 ms, TLS", {"oms": 1_200, "guide": 30}, secure, {})
    with Stub(0) as stub:
        plain = {"host": stub.host, "url": stub.base_url, "senders": 8}
        tell("by-hand-disk", "careful loop, 0 ms", {"oms": 1_500, "careful": 600}, plain, {})
        slow = slow_disk(asked.directory, SLOW_US)
        if slow is None:
            told.skip("by-hand-slow", NOT_SLOW)
        else:
            counts = {"oms": 1_500, "careful": 90}
            tell("by-hand-slow", "careful loop, 0 ms, fsync + 5 ms", counts, plain, slow)


if __name__ == "__main__":
    main("loops", __doc__ or "", child, measure)
