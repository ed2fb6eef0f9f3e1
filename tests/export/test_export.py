"""Exports: every row once, exact in every form, harmless in a spreadsheet, flat in memory, whole or not at all."""

import csv
import importlib.util
import io
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms import Oms
from oms.app.export import FORMATS, export
from oms.app.export.tables import TABLES, Kind
from oms.app.export.text import csv_cell
from oms.app.whole import whole_file
from oms.cli.answer import csv_cell as answer_cell
from oms.config import load
from oms.errors import InputError, OmsError, UnknownOrder
from oms.ledger import export as walks
from oms.ledger.ledger import Ledger
from oms.records import OrderRecord
from tests.export.stories import HOSTILE, NOW_US, accept, fill, intents, story
from tests.ledger.ledgers import batch, record, running

HAS_PYARROW = importlib.util.find_spec("pyarrow") is not None
needs_pyarrow = pytest.mark.skipif(not HAS_PYARROW, reason="SKIPPED LOUDLY: pyarrow is not installed: no parquet")
EVIL = {1: {"tag": "=HYPERLINK(1)"}, 2: {"tag": "-1+2"}, 3: {"tag": HOSTILE}, 4: {"tag": "-12.5"}, 5: {"tag": 'a;"b'}}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Ten orders, the first three accepted, two trades of the first and one of the second."""
    found, orders = story(tmp_path / "ledger.sqlite3", 10, changes=EVIL)
    with closing(found) as ledger:
        first, second, _ = accept(ledger, orders[:3])
        first = fill(ledger, first, 1, count_e2=50, price_e6=123_456, fee_e6=7, ts_ms=NOW_US // 1000 + 2)
        fill(ledger, first, 2, count_e2=50, price_e6=123_456, ts_ms=NOW_US // 1000 + 1)
        fill(ledger, second, 3, count_e2=100, price_e6=30_000, ts_ms=NOW_US // 1000 + 1)
        yield ledger


def told(ledger: Ledger, what: str, form: str, **more: Any) -> bytes:
    sink = io.BytesIO()
    rows = export(ledger, what, sink, form=form, **more)
    assert rows >= 0
    return sink.getvalue()


def as_csv(ledger: Ledger, what: str, **more: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(told(ledger, what, "csv", **more).decode())))


def as_jsonl(ledger: Ledger, what: str, **more: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in told(ledger, what, "jsonl", **more).splitlines()]


# -- what is in it ----------------------------------------------------------------------------------------------------


def test_orders_are_exported_as_oms_orders_tells_them(ledger: Ledger, tmp_path: Path) -> None:
    config = load({}, {"HOME": str(tmp_path), "OMS_LEDGER__URL": str(ledger.path)})
    with Oms(config, None) as oms:  # type: ignore[arg-type]
        listed = list(oms.orders(newest_first=False))
    rows = as_jsonl(ledger, "orders")
    assert rows == [{name: getattr(order, name) for name in OrderRecord.__struct_fields__} for order in listed]
    assert len(rows) == 10


def test_fills_come_in_the_order_of_time_with_the_order_they_belong_to(ledger: Ledger) -> None:
    rows = as_jsonl(ledger, "fills")
    assert [row["trade_id"] for row in rows] == ["t-2", "t-3", "t-1"]
    last = rows[-1]
    assert (last["client_order_id"], last["batch"], last["price"], last["count"], last["fee"]) == (
        "x-1",
        "x",
        "0.123456",
        "0.50",
        "0.000007",
    )


def test_events_carry_their_data_as_json_and_as_text(ledger: Ledger) -> None:
    rows = as_jsonl(ledger, "events")
    assert [row["event_id"] for row in rows] == list(range(1, len(rows) + 1))
    claimed = next(row for row in rows if row["event"] == "claimed")
    assert (claimed["command"], claimed["data"]["attempt"]) == ("create", 1)
    assert [json.loads(row["data"]) for row in as_csv(ledger, "events")] == [row["data"] for row in rows]


def test_a_time_and_a_batch_narrow_what_is_exported(ledger: Ledger) -> None:
    record(ledger, batch(3, "other"), intents(3, "other", {}), NOW_US + 10_000)
    assert [row["batch"] for row in as_jsonl(ledger, "orders", since_us=NOW_US + 1)] == ["other"] * 3
    assert len(as_jsonl(ledger, "orders", batch="other")) == 3
    assert len(as_jsonl(ledger, "fills", batch="x")) == 3
    assert as_jsonl(ledger, "fills", batch="other") == []
    assert [row["trade_id"] for row in as_jsonl(ledger, "fills", since_us=NOW_US + 1_001)] == ["t-1"]
    assert {row["event"] for row in as_jsonl(ledger, "events", batch="other")} == {"recorded"}
    assert {row["event"] for row in as_jsonl(ledger, "events", since_us=NOW_US + 5_000)} == {"filled", "recorded"}


def test_what_is_not_there_is_named_before_anything_is_written(ledger: Ledger) -> None:
    for wrong in ({"what": "keys"}, {"form": "xls"}):
        with pytest.raises(InputError):
            told(ledger, **{"what": "orders", "form": "csv", **wrong})
    with pytest.raises(UnknownOrder):
        told(ledger, "orders", "csv", batch="nobody")


@pytest.mark.parametrize("what", TABLES)
def test_pages_are_joined_without_a_gap_or_a_repeat(ledger: Ledger, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = as_jsonl(ledger, what)
    for size in (1, 2, 3):
        monkeypatch.setattr(walks, "PAGE", size)
        assert as_jsonl(ledger, what) == whole


def test_an_export_ends_at_what_was_there_when_it_began(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walks, "PAGE", 2)
    found = TABLES["orders"].lines(ledger, walks.Span())
    first = next(found)
    record(ledger, batch(4, "meanwhile"), intents(4, "meanwhile", {}), NOW_US)
    assert len([first, *found]) == 10


def test_what_is_being_recorded_is_not_exported(ledger: Ledger) -> None:
    with ledger.write() as connection:
        connection.exec_driver_sql("UPDATE batches SET state = 'recording'")
    assert as_jsonl(ledger, "orders") == as_jsonl(ledger, "events") == []


# -- spreadsheets -----------------------------------------------------------------------------------------------------


def test_no_cell_is_taken_for_a_formula_and_numbers_stay_numbers(ledger: Ledger) -> None:
    tags = [row["tag"] for row in as_csv(ledger, "orders")]
    assert tags[:5] == ["'=HYPERLINK(1)", "'-1+2", HOSTILE, "-12.5", 'a;"b']
    assert '"a;""b"' in told(ledger, "orders", "csv").decode()


@given(st.text(alphabet=st.sampled_from("=+-@\t\r\n\uff1d'\",; 1.a"), max_size=6))
def test_a_cell_comes_back_as_it_was_but_for_the_apostrophe(text: str) -> None:
    (row,) = csv.reader(io.StringIO(csv_cell(text) + ",end", newline=""))
    assert row == [row[0], "end"]
    assert row[0] in (text, f"'{text}")
    is_number = csv_cell(text) == text and text[:1] in "+-" and text[1:2].isdigit()
    assert row[0][:1] not in ("=", "@", "+", "-", "\t", "\r", "\n", "\uff1d") or is_number


@given(st.text(max_size=8) | st.booleans() | st.integers() | st.none())
def test_cells_read_as_those_of_other_answers_in_csv(value: Any) -> None:
    if str(value).startswith(("\uff1d", "\uff0b", "\uff0d", "\uff20")):
        return  # an export is stricter here
    (row,) = list(csv.reader(io.StringIO(csv_cell(value), newline=""))) or [[""]]
    assert "".join(row) == answer_cell(value)


# -- parquet ----------------------------------------------------------------------------------------------------------


def test_every_column_has_the_kind_of_its_values() -> None:
    wanted = {str: Kind.TEXT, int: Kind.INTEGER, bool: Kind.FLAG}
    hints = get_type_hints(OrderRecord)
    for name, kind in TABLES["orders"].columns:
        plain = {part for part in (hints[name], *getattr(hints[name], "__args__", ())) if part in wanted}
        assert len(plain) == 1
        if plain == {str}:
            amount = name.endswith(("price", "count", "fees", "_at"))
            assert amount == (kind in (Kind.DOLLARS, Kind.COUNT, Kind.TIME)), name
        else:
            assert kind is wanted[plain.pop()], name


@needs_pyarrow
def test_parquet_has_exact_decimals_and_moments(ledger: Ledger) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(told(ledger, "fills", "parquet")))
    assert table.schema.field("price").type == pa.decimal128(20, 6)
    assert table.schema.field("at").type == pa.timestamp("us", tz="UTC")
    last = table.to_pylist()[-1]
    assert (last["price"], last["count"], last["fee"]) == (Decimal("0.123456"), Decimal("0.50"), Decimal("0.000007"))
    assert int(last["at"].timestamp() * 1000) == NOW_US // 1000 + 2


@needs_pyarrow
@pytest.mark.parametrize("what", TABLES)
def test_parquet_says_what_jsonl_says(ledger: Ledger, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    from oms.app.export import parquet

    monkeypatch.setattr(parquet, "GROUP", 4)
    found = pq.read_table(io.BytesIO(told(ledger, what, "parquet"))).to_pylist()
    wanted = as_jsonl(ledger, what)
    assert len(found) == len(wanted)
    for ours, theirs in zip(wanted, found, strict=True):
        for name, kind in TABLES[what].columns:
            value = theirs[name]
            if kind in (Kind.DOLLARS, Kind.COUNT) and value is not None:
                assert value == Decimal(ours[name])
            elif kind is Kind.TIME and value is not None:
                assert value.isoformat(timespec="microseconds") == ours[name].replace("Z", "+00:00")
            else:
                assert (json.loads(value) if kind is Kind.JSON else value) == ours[name]


def test_without_pyarrow_parquet_names_the_command_that_installs_it(ledger: Ledger, tmp_path: Path) -> None:
    program = f"""
import sys
sys.modules["pyarrow"] = None
from oms.cli.entry import run
sys.exit(run(["export", "orders", "--out", {str(tmp_path / "o.parquet")!r}]))
"""
    environ = {**os.environ, "HOME": str(tmp_path), "OMS_LEDGER__URL": str(ledger.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "parquet needs pyarrow" in done.stderr
    assert "pip install" in done.stderr
    assert not (tmp_path / "o.parquet").exists()


# -- files ------------------------------------------------------------------------------------------------------------


def test_a_file_is_whole_private_and_never_replaced_unasked(tmp_path: Path) -> None:
    place, ledger = tmp_path / "out.csv", tmp_path / "ledger.sqlite3"
    with whole_file(place, force=False, ledger=ledger) as sink:
        sink.write(b"one")
        assert not place.exists()
    assert (place.read_bytes(), stat.S_IMODE(place.stat().st_mode)) == (b"one", 0o600)
    with pytest.raises(InputError, match="exists already"), whole_file(place, force=False, ledger=ledger):
        raise AssertionError("not reached")
    with whole_file(place, force=True, ledger=ledger) as sink:
        sink.write(b"two")
    assert place.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["out.csv"]


def written(place: Path, *between: Callable[[BinaryIO], object], force: bool = False) -> None:
    """Write a file, with these steps in between."""
    with whole_file(place, force=force, ledger=place.parent / "ledger") as sink:
        for step in between:
            step(sink)


def test_a_file_that_appears_meanwhile_is_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "out.csv"
    with pytest.raises(InputError, match="exists already"):
        written(place, lambda sink: sink.write(b"ours"), lambda _: place.write_text("theirs"))
    assert (place.read_text(), os.listdir(tmp_path)) == ("theirs", ["out.csv"])


def test_what_fails_half_way_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        written(tmp_path / "out.csv", lambda sink: sink.write(b"half"), lambda _: {}["gone"], force=True)
    with pytest.raises(OmsError, match="could not be written"):
        written(tmp_path / "nowhere" / "out.csv")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["ledger.sqlite3", "ledger.sqlite3-wal", "ledger.sqlite3.lock"])
def test_the_ledgers_own_files_are_never_written(ledger: Ledger, name: str) -> None:
    with (
        pytest.raises(InputError, match="belongs to the ledger"),
        whole_file(ledger.path.parent / name, force=True, ledger=ledger.path),
    ):
        raise AssertionError("not reached")


def test_a_folder_or_device_is_no_file_to_replace(tmp_path: Path) -> None:
    for place in (tmp_path, Path(os.devnull)):
        with (
            pytest.raises(InputError, match="is not a file"),
            whole_file(place, force=True, ledger=tmp_path / "sub" / "ledger"),
        ):
            raise AssertionError("not reached")


# -- beside a writer --------------------------------------------------------------------------------------------------

RECORDER = """
import sys
from pathlib import Path
from tests.ledger.ledgers import opened, recorded
ledger = opened(Path(sys.argv[1]))
for number in range(10_000):
    recorded(ledger, 20, f"b{number}")
    if number == 5:
        print("writing", flush=True)
"""


def test_an_export_beside_a_process_that_records_is_complete_and_ends(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    running(path).close()
    root = Path(__file__).resolve().parents[2]
    environ = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(
        [sys.executable, "-c", RECORDER, str(path)], env=environ, stdout=subprocess.PIPE, cwd=root
    ) as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"writing\n"
            environ |= {"HOME": str(tmp_path), "OMS_LEDGER__URL": str(path)}
            for _ in range(2):
                done = subprocess.run(
                    [sys.executable, "-m", "oms", "export", "orders", "--format", "jsonl"],
                    env=environ,
                    capture_output=True,
                    timeout=60,
                    check=False,
                )
                rows = [json.loads(line) for line in done.stdout.splitlines()]
                assert (done.returncode, done.stderr) == (0, b"")
                assert len(rows) >= 100
                assert len(rows) % 20 == 0
                assert len({row["client_order_id"] for row in rows}) == len(rows)
            assert writer.poll() is None
        finally:
            writer.kill()


def test_forms_and_kinds_are_those_that_the_command_line_knows() -> None:
    from oms.cli import export as command

    assert command.FORMATS == FORMATS
    choice = command.export.params[0].type
    assert list(choice.choices) == list(TABLES)  # type: ignore[attr-defined]
