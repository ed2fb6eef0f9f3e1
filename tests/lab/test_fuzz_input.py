"""Any bytes as a file of orders, any configuration: taken, or refused by name with nothing recorded."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms import Oms
from oms.config import Config, load
from oms.config.keys import KEYS
from oms.errors import ConfigError, InputError
from tests.lab.fuzzing import HOSTILE, LENGTHS, ODD, spoiled

ROWS: list[dict[str, Any]] = [
    {"ticker": "KX-T", "action": "buy", "side": "yes", "count": "1", "price": "0.56", "tag": "a"},
    {"ticker": "KX-T", "side": "ask", "count": 2.5, "price": "0.44", "client_order_id": "mine-1", "post_only": True},
]
CSV = b'ticker,action,side,count,price,tag\r\nKX-T,buy,yes,1,0.56,a\nKX-T,sell,no,2,0.5,"b, c"\n'
PIECES = st.sampled_from(
    [b",", b'"', b"\n", b"\r", b"\x00", b"\xff", b"\xef\xbb\xbf", b"-1", b"1e9", b"{", b"[", "\u202e".encode()]
)


@st.composite
def damaged(draw: st.DrawFn, raw: bytes) -> bytes:
    """The same bytes with a few put in, taken out or repeated."""
    for _ in range(draw(st.integers(0, 4))):
        at, size = draw(st.integers(0, len(raw))), draw(st.integers(0, 9))
        raw = raw[:at] + draw(PIECES | st.binary(max_size=3)) + raw[at + size * draw(st.booleans()) :]
    return raw


LINES = st.tuples(*(spoiled(each) for each in ROWS)).map(b"\n".join)
FILES = {
    "csv": damaged(CSV) | st.binary(max_size=80),
    "jsonl": LINES.flatmap(damaged) | st.binary(max_size=80),
    "json": spoiled({"orders": ROWS}) | spoiled(ROWS) | st.binary(max_size=80),
}


@LENGTHS
@pytest.mark.parametrize("form", FILES)
def test_any_file_is_rows_or_refused_by_line_and_nothing_is_recorded(
    form: str, length: Callable[..., Any], tmp_path: Path
) -> None:
    path, place = tmp_path / f"orders.{form}", tmp_path / "ledger.sqlite3"
    config = load({}, {"HOME": str(tmp_path), "OMS_LEDGER__URL": str(place)})

    @length
    @given(FILES[form])
    def holds(raw: bytes) -> None:
        path.write_bytes(raw)
        lines = raw.count(b"\n") + raw.count(b"\r") + 1
        with Oms.open(config) as oms:
            refused: InputError | None = None
            try:
                shown = list(oms.preview_file(path))
            except InputError as exc:
                refused = exc
            if refused is None:
                assert shown
                assert len({each["client_order_id"] for each in shown}) == len(shown)
                return
            assert _is_named(refused, lines), (refused, refused.problems)
            with pytest.raises(InputError):
                oms.submit_file(path)
        assert not place.exists()

    holds()


def _is_named(exc: InputError, lines: int) -> bool:
    """Every problem has a line of the file, or there is nothing in it; all of it can be shown."""
    shown = [str(exc), *map(str, exc.problems)]
    is_placed = all(each.line is None or 1 <= each.line <= lines for each in exc.problems)
    return all(text.isprintable() for text in shown) and is_placed


# -- configuration

NAMES = st.sampled_from([key.name for key in KEYS]) | st.text(max_size=8)
TEXTS = st.text(max_size=30) | st.sampled_from(
    [*HOSTILE, "prod", "demo", "0", "-1", "1e9", "nan", "true", "https://kalshi.com"]
)


def is_config(read: Callable[[], Config]) -> bool:
    """A configuration, or ConfigError in words; nothing else may come of it."""
    try:
        return isinstance(read(), Config)
    except ConfigError as exc:
        return bool(exc.message)


@LENGTHS
def test_any_variables_and_flags_are_a_configuration_or_an_error(length: Callable[..., Any], tmp_path: Path) -> None:
    @length
    @given(
        st.dictionaries(st.sampled_from([key.name for key in KEYS]), TEXTS, max_size=3),
        st.dictionaries(
            st.sampled_from([key.variable for key in KEYS]) | st.text(max_size=9).map(lambda text: f"OMS_{text}"),
            TEXTS,
            max_size=4,
        ),
    )
    def holds(flags: dict[str, str], environ: dict[str, str]) -> None:
        assert is_config(lambda: load(flags, {"HOME": str(tmp_path), **environ}))

    holds()


@LENGTHS
def test_any_file_is_a_configuration_or_an_error(length: Callable[..., Any], tmp_path: Path) -> None:
    example = "\n".join(
        [
            'environment = "demo"',
            "[submit]",
            "concurrency = 4",
            'resend = "never"',
            "in_flight_horizon_s = 60.5",
            "[venue.demo]",
            'key_id = "abc"',
            'private_key_path = "~/key.pem"',
            "[ledger]",
            'url = "/somewhere/ledger.sqlite3"',
        ]
    ).encode()
    path = tmp_path / "oms.toml"
    assert tomllib.loads(example.decode())["submit"]["concurrency"] == 4

    @length
    @given(damaged(example) | st.dictionaries(NAMES, ODD, max_size=3).map(_toml) | st.binary(max_size=60))
    def holds(raw: bytes) -> None:
        path.write_bytes(raw)
        assert is_config(lambda: load({"config": str(path)}, {"HOME": str(tmp_path)}))

    holds()


def _toml(values: dict[str, Any]) -> bytes:
    """What a careless program would write."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    return "\n".join(lines).encode("utf-8", "surrogatepass")
