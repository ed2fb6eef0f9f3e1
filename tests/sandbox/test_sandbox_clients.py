"""Other people's programs against the sandbox, unchanged but for the address: Kalshi's guide and Kalshi's SDK."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sandbox.running import start_sandbox

HERE = Path(__file__).parent
SDK = "kalshi-python-sync==3.34.0"  # needs Python 3.13


def run(*arguments: str | Path, timeout_s: float = 300) -> str:
    """The stdout of a program that must succeed."""
    done = subprocess.run(
        [str(part) for part in arguments], capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_steps_of_kalshis_quick_start_guide_work_unchanged(tmp_path: Path) -> None:
    with start_sandbox(tmp_path / "sandbox", v1_compat=True) as sandbox:
        said = run(
            sys.executable, HERE / "quickstart_guide.py", sandbox.base_url, sandbox.key_id, sandbox.private_key_path
        )
        steps = [json.loads(line) for line in said.splitlines()]
        assert [step["status"] for step in steps] == [200, 201, 409, 200, 200, 200, 200, 401, 400, 429]
        assert [order["status"] for order in sandbox.orders()] == ["canceled"]


def is_python313(candidate: str) -> bool:
    """Run it: a name on PATH may be a version manager's stub."""
    asked = "import sys, ensurepip, venv; sys.exit(sys.version_info[:2] != (3, 13))"
    try:
        return subprocess.run([candidate, "-c", asked], capture_output=True, timeout=30, check=False).returncode == 0
    except OSError:
        return False


def python313() -> str | None:
    """An interpreter for the SDK, None where this machine has none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    named = [os.environ.get("OMS_TEST_PYTHON313", ""), "python3.13", "python3", "python", sys.executable]
    paths = [found for name in named if name and (found := shutil.which(name))]
    paths += [str(path) for path in sorted(pyenv.glob("versions/3.13*/bin/python3.13"))]
    return next((path for path in paths if is_python313(path)), None)


@pytest.fixture
def sdk_python(request: pytest.FixtureRequest) -> Path:
    """The interpreter of an environment with the SDK, kept in pytest's cache between runs."""
    base = python313()
    if base is None:
        says = f"{SDK} needs Python 3.13 and no interpreter here runs as one"
        if os.environ.get("CI"):
            pytest.fail(says)
        pytest.skip(says)
    cache = request.config.cache
    assert cache is not None
    home = Path(cache.mkdir("kalshi-sdk")) / SDK
    python = home / "bin" / "python"
    if not (home / "complete").exists():
        shutil.rmtree(home, ignore_errors=True)
        run(base, "-m", "venv", home)
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", SDK)
        (home / "complete").touch()
    return python


@pytest.mark.slow
def test_the_official_sdk_works_unchanged(tmp_path: Path, sdk_python: Path) -> None:
    with start_sandbox(tmp_path / "sandbox") as sandbox:
        said = json.loads(
            run(sdk_python, HERE / "sdk_client.py", sandbox.base_url, sandbox.key_id, sandbox.private_key_path)
        )
        orders = sandbox.orders()
    assert said == {
        "market": [True, "active", 1],
        "create": [True, "1.00"],
        "duplicate": [409, "order_already_exists"],
        "get": "resting",
        "queue": True,
        "amend": "3.00",
        "decrease": "2.00",
        "list": [True],
        "cancel": "2.00",
        "batch_create": ["1.00", "1.00", "invalid_price"],
        "batch_cancel": ["1.00", "1.00", "not_found"],
        "take": ["1.00", True],
        "fills": ["1.00"],
        "positions": ["1.00"],
        "balance": True,
        "settlements": 0,
        "resting_value": 0,
        "subaccounts": True,
        "orderbook": True,
        "orderbooks": 1,
        "trades": True,
        "markets": 30,
        "series": 5,
        "events": 10,
        "event": 3,
        "status": True,
        "schedule": 1,
        "as_of": True,
        "cutoff": True,
        "historical_orders": 0,
        "historical_fills": 0,
        "limits": 600,
        "costs": 10,
        "keys": 1,
        "group": [True],
        "group_orders": True,
        "order_in_group": True,
        "group_limit": "7.00",
        "group_triggered": "canceled",
        "group_deleted": 0,
        "subaccount": 2,
        "transfers": [5_000],
        "its_balance": 4_999,
        "its_orders": [True],
        "netting": 3,
        "settlement": ["scalar", "2.00", 74, 37],
        "settled_market": ["finalized", "scalar", "0.3700"],
        "settled_positions": 1,
        "archived_positions": 0,
        "deposits": [700],
        "withdrawals": 0,
        "queue_positions": 0,
    }
    ends = ["canceled", "canceled", "canceled", "executed", "canceled", "canceled", "canceled", "executed"]
    assert [order["status"] for order in orders] == ends
