"""Limits on the command line: exit 5 and nothing recorded, each row named once, and `oms limits`."""

import json
from pathlib import Path
from typing import Any

import pytest

from oms.cli.entry import run

LIMITS = "OMS_LIMITS__MAX_ORDER_COUNT"
FLAGS = ("submit", "--ticker", "EV-A", "--action", "buy", "--side", "yes", "--price", "0.5", "--count")


def said(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = run([*argv])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture(autouse=True)
def limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMITS, "5")


def test_one_order_over_a_limit_is_refused_with_exit_5(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, *FLAGS, "6")
    assert code == 5
    assert out == ""
    assert err.count("its count is 6.00; limits.max_order_count = 5.00") == 1
    assert "nothing was recorded and nothing was sent" in err


def test_every_row_over_a_limit_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text("ticker,action,side,count,price\nEV-A,buy,yes,6,0.5\nEV-A,buy,yes,5,0.5\nEV-A,buy,no,7,0.5\n")
    code, out, err = said(capsys, "submit", str(file), "-o", "json")
    error: dict[str, Any] = json.loads(out)["error"]
    assert (code, error["code"]) == (5, "limit_exceeded")
    assert [each["field"] for each in error["problems"]] == ["limits.max_order_count"] * 2
    assert [each["reason"].split(":")[0] for each in error["problems"]] == ["row 1", "row 3"]
    assert "row 3: ask 7.00 EV-A" in err


def test_limits_are_listed_without_a_ledger(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "limits", "-o", "json")
    rows = {each["limit"]: each for each in json.loads(out)["limits"]}
    assert code == 0
    assert rows["max_order_count"] == {
        "limit": "max_order_count",
        "of": None,
        "allowed": "5.00",
        "used": None,
        "left": None,
        "unit": "contracts",
    }
    assert rows["max_open_orders"]["used"] == "0"
    code, out, _ = said(capsys, "limits")
    assert code == 0
    assert out.splitlines()[0].split() == ["limit", "of", "allowed", "used", "left", "unit"]
