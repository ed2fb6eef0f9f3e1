"""A ledger is compared with its own exchange and its own account, and with no other."""

import json
import os
from pathlib import Path

import pytest

from oms.config import load
from oms.errors import LedgerForeign
from oms.lab.judge import Finding, Raw, examine, judge
from oms.lab.verification import verify
from oms.lab.world import _private_pem
from tests.lab.judged import Pair, made, pair

__all__ = ["made", "pair"]


def found(pair: Pair, other: Path | Raw) -> list[Finding]:
    return judge(pair.ledger, other, is_settled=True)


def test_the_exchange_of_another_account_is_named_and_nothing_is_compared(pair: Pair) -> None:
    pair.spoil("UPDATE ledger SET user_id = 'somebody else'")
    (finding,) = found(pair, pair.exchange)
    assert finding.invariant == "I16"
    assert "belongs to user somebody else" in finding.sentence
    checked = examine(pair.ledger, pair.exchange, is_quiet=True, is_level=True, is_alone=True)
    assert {each.rule.needs for each in checked} == {"ledger", "account", "quiet"}


def test_the_bodies_of_another_account_are_named(pair: Pair) -> None:
    document = json.loads((pair.bodies / "portfolio-orders").read_bytes())
    document["orders"] = [{**item, "user_id": "somebody else"} for item in document["orders"]]
    (finding,) = found(pair, Raw(2**50, orders=[json.dumps(document).encode()], fills=[b'{"fills": []}']))
    assert (finding.invariant, "to user somebody else" in finding.sentence) == ("I16", True)


def test_where_one_side_does_not_say_whose_it_is_both_are_compared(pair: Pair) -> None:
    pair.spoil("UPDATE ledger SET user_id = NULL")
    assert found(pair, pair.exchange) == []
    pair.spoil("DELETE FROM fills")
    assert "I11" in {each.invariant for each in found(pair, pair.exchange)}


@pytest.mark.parametrize("host", [None, "127.0.0.1", "127.0.0.2"])
def test_another_exchange_than_the_ledgers_is_refused_before_it_is_asked(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str | None
) -> None:
    pair.spoil("UPDATE ledger SET host = ?", host)
    key = tmp_path / "key.pem"
    key.write_bytes(_private_pem(0))
    key.chmod(0o600)
    config = load(
        {},
        {
            "HOME": os.fspath(tmp_path),
            "OMS_LEDGER__URL": f"sqlite:///{pair.ledger}",
            "OMS_VENUE__SANDBOX__BASE_URL": "http://127.0.0.1:9/trade-api/v2",
            "OMS_VENUE__SANDBOX__KEY_ID": "key",
            "OMS_VENUE__SANDBOX__PRIVATE_KEY_PATH": str(key),
        },
    )
    asked: list[object] = []

    class Asked(Exception):
        pass

    def fetch(*what: object) -> Raw:
        asked.append(what)
        raise Asked

    monkeypatch.setattr("oms.lab.verification.fetch", fetch)
    with pytest.raises(LedgerForeign if host == "127.0.0.2" else Asked):
        verify(config, is_offline=False, exchange=None)
    assert bool(asked) == (host != "127.0.0.2")
