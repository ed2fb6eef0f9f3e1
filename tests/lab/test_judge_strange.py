"""Whatever a ledger or an exchange's file holds, the judge says so; it neither stumbles nor takes it for good."""

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oms.lab.judge import Raw, judge
from tests.lab.judged import EXCHANGE, LEDGER, Pair, made, pair

__all__ = ["made", "pair"]

STRANGE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.sampled_from(["\x1b[31m", "claimed", "'", "1e400000", "\ud800"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def altered(value: Any, key: str, strange: object) -> Any:
    """JSON with one of its members replaced wherever it stands."""
    if isinstance(value, Mapping):
        return {name: strange if name == key else altered(inner, key, strange) for name, inner in value.items()}
    return [altered(inner, key, strange) for inner in value] if isinstance(value, list) else value


def members(value: Any) -> set[str]:
    if isinstance(value, Mapping):
        return set(value).union(*(members(inner) for inner in value.values())) if value else set()
    return set().union(*(members(inner) for inner in value)) if isinstance(value, list) else set()


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_an_event_of_strange_content_is_a_finding(made: Path, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as place:
        for name in (LEDGER, EXCHANGE, f"{LEDGER}.mark"):
            shutil.copy(made / name, place)
        spoiled = Pair(Path(place, LEDGER), Path(place, EXCHANGE), made)
        with closing(sqlite3.connect(spoiled.ledger)) as database:
            events = dict(database.execute("SELECT seq, data FROM events ORDER BY seq").fetchall())
            seq = data.draw(st.sampled_from(sorted(events)))
            said = json.loads(events[seq])
            # The tag of the data says what the column beside it says: only the chain holds it.
            key = data.draw(st.sampled_from(sorted(members(said))))
            text = json.dumps(altered(said, key, data.draw(STRANGE.filter(lambda it: it != said.get(key)))))
            database.execute("UPDATE events SET data = ? WHERE seq = ?", (text, seq))
            database.commit()
        found = spoiled.judged()
        assert "I12" in {each.invariant for each in found}
        spoiled.rechain()
        spoiled.judged()


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_body_of_strange_content_is_a_finding_or_an_error(made: Path, data: st.DataObject) -> None:
    name, path = data.draw(st.sampled_from([("orders", "portfolio-orders"), ("fills", "portfolio-fills")]))
    pages = {each: (made / f"portfolio-{each}").read_bytes() for each in ("orders", "fills", "positions")}
    document = json.loads((made / path).read_bytes())
    needed = {"orders": ["order_id", "initial_count_fp", "status"], "fills": ["order_id", "count_fp"]}[name]
    strange = data.draw(STRANGE.filter(lambda it: not isinstance(it, str) or not it.strip().isdigit()))
    pages[name] = json.dumps(altered(document, data.draw(st.sampled_from(needed)), strange)).encode()
    raw = Raw(2**50, [pages["orders"]], [pages["fills"]], {0: [pages["positions"]]})
    assert judge(made / LEDGER, raw, is_settled=True)


@pytest.mark.parametrize("side", ["ledger", "exchange"])
def test_a_damaged_page_is_told_by_sqlite_or_judged_like_any_other(pair: Pair, side: str) -> None:
    path: Path = getattr(pair, side)
    whole = path.read_bytes()
    for place in range(0, len(whole), 4096):
        path.write_bytes(whole[:place] + b"\xa5" * 64 + whole[place + 64 :])
        try:
            pair.judged()
        except sqlite3.Error:
            continue
    path.write_bytes(whole)
    assert pair.judged() == []
