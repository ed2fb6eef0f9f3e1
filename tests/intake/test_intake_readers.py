"""Files to rows: line numbers, formats, and the same rows from all three of them."""

from collections.abc import Callable, Mapping
from io import BytesIO

import pytest

from oms.errors import InputError
from oms.intake import readers
from oms.intake.dialects import validate
from oms.intake.readers import Format, format_of, read_rows, sniff

CSV = "ticker,side,count,price\n"


def rows(text: str | bytes, fmt: Format) -> list[tuple[int | None, dict[str, object] | str]]:
    """The rows, or the reasons of the problems in their place."""
    data = text if isinstance(text, bytes) else text.encode()
    return [
        (line, " & ".join(problem.reason for problem in row) if isinstance(row, tuple) else dict(row))
        for line, row in read_rows(BytesIO(data), fmt)
    ]


def tickers(text: str | bytes, fmt: Format) -> list[tuple[int | None, object]]:
    return [(line, row if isinstance(row, str) else row["ticker"]) for line, row in rows(text, fmt)]


def test_a_csv_row_has_the_physical_line_on_which_it_starts() -> None:
    text = '\n\nticker,side,count,price\nA,bid,1,0.5\n\n  \n"B\n""x""\n",bid,1,0.5\r\nC,"bid",1,"0.5"'
    assert tickers(text, Format.CSV) == [(4, "A"), (7, 'B\n"x"\n'), (10, "C")]


def test_a_json_line_has_its_physical_line() -> None:
    assert tickers('\n{"ticker":"A"}\r\n\n \t\n  {"ticker":"B"}  ', Format.JSONL) == [(2, "A"), (5, "B")]


def test_an_order_in_a_json_document_has_the_line_on_which_it_starts() -> None:
    text = '\n{ "orders" :\n [\n {"ticker":"A",\n"count":1},\n\n{"ticker":"B"}\n]\n}\n'
    assert tickers(text, Format.JSON) == [(4, "A"), (7, "B")]
    assert tickers('[{"ticker":"A"},{"ticker":"B"},\n{"ticker":"C"}]', Format.JSON) == [(1, "A"), (1, "B"), (2, "C")]
    assert tickers('\n{"ticker":"A"}\n', Format.JSON) == [(2, "A")]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_a_byte_order_mark_and_either_line_ending_change_nothing(bom: bytes, ending: str) -> None:
    for text, fmt in (
        (CSV + "A,bid,1,0.5\n", Format.CSV),
        ('{"ticker":"A"}\n', Format.JSONL),
        ('[{"ticker":"A"}]\n', Format.JSON),
    ):
        data = bom + text.replace("\n", ending).encode()
        assert [row for _, row in tickers(data, fmt)] == ["A"]
        assert sniff(BytesIO(data)) is fmt


def test_the_same_order_in_all_formats_is_the_same_intent() -> None:
    csv = "ticker,action,side,count,price,post_only\nKX-1,buy,no,1.50,0.3,true\n"
    line = '{"ticker":"KX-1","action":"buy","side":"no","count":1.50,"price":0.3,"post_only":true}'
    found = [
        validate(row)
        for text, fmt in ((csv, Format.CSV), (line, Format.JSONL), (f"[{line}]", Format.JSON), (line, Format.JSON))
        for _, row in read_rows(BytesIO(text.encode()), fmt)
        if isinstance(row, Mapping)
    ]
    assert len(found) == 4
    assert len(set(found)) == 1


def test_a_number_of_json_is_its_literal_text() -> None:
    text = '{"count":1.10,"price":0.1000000000000000055511151231257827,"subaccount":00}'
    assert rows(text.replace(":00", ":0"), Format.JSONL) == [
        (1, {"count": "1.10", "price": "0.1000000000000000055511151231257827", "subaccount": "0"})
    ]
    assert "not JSON" in str(rows(text, Format.JSONL)[0][1])


def test_a_line_separator_of_unicode_ends_no_line() -> None:
    assert tickers(CSV + "A\u2028\x85\x0b,bid,1,0.5\nB,bid,1,0.5\n", Format.CSV) == [(2, "A\u2028\x85\x0b"), (3, "B")]


def test_reading_goes_on_after_a_quote_that_is_never_closed() -> None:
    good = "".join(f"G{number},bid,1,0.5\n" for number in range(300))
    found = tickers(CSV + 'A,bid,1,"0.5\n' + good + 'B,bid,1,0.5"\nC,bid,1,0.5\n', Format.CSV)
    assert found[0] == (2, "a quote is opened and not closed")
    assert found[1:301] == [(number + 3, f"G{number}") for number in range(300)]
    assert found[301:] == [(303, "a quote is opened and not closed"), (304, "C")]


def test_a_bad_line_within_a_quoted_field_is_a_problem_of_its_own() -> None:
    found = tickers(CSV.encode() + b'A,bid,1,"0.5\n\xff\n"\nB,bid,1,0.5\n', Format.CSV)
    assert [line for line, _ in found] == [2, 3, 4, 5]
    assert found[1][1] == "is not UTF-8 (byte 0xff): save the file as UTF-8"


def test_a_line_of_exactly_the_limit_is_read_and_one_more_is_not() -> None:
    def line(length: int, end: bytes) -> bytes:
        return b'{"ticker":"' + b"A" * (length - len(end) - 13) + b'"}' + end

    for end in (b"", b"\n"):
        assert isinstance(rows(line(readers.MAX_LINE, end), Format.JSONL)[0][1], dict)
    too_long = rows(line(readers.MAX_LINE + 1, b"") + b"\n{}\n" + line(200_000, b"\n") + b"{}", Format.JSONL)
    assert [line for line, _ in too_long] == [1, 2, 3, 4]
    assert [row == {} for _, row in too_long] == [False, True, False, True]


def test_a_document_above_its_limit_names_the_format_that_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "MAX_DOCUMENT", 20)
    assert isinstance(rows('{"ticker":"12345678"}'[1:-1].rjust(20), Format.JSON)[0][1], str)
    [(line, reason)] = rows('{"ticker":"12345678"}', Format.JSON)
    assert line is None
    assert "JSON lines" in str(reason)


def test_rows_are_read_one_at_a_time() -> None:
    class Endless(BytesIO):
        served = 0

        def readline(self, size: int | None = -1, /) -> bytes:
            self.served += 1
            return b"ticker,side,count,price\n" if self.served == 1 else b"A,bid,1,0.5\n"

    stream = Endless()
    found = read_rows(stream, Format.CSV)
    for _ in range(1_000):
        next(found)
    assert stream.served == 1_001


@pytest.mark.parametrize(
    ("head", "fmt"),
    [
        (b'{"ticker":"A"}', Format.JSONL),
        (b'\n  {"ticker":"A"}\n{', Format.JSONL),
        (b"[", Format.JSON),
        (b'\xef\xbb\xbf\r\n [{"ticker":', Format.JSON),
        (b'{"orders":[', Format.JSON),
        (b'{ "orders" : [', Format.JSON),
        (b'{\n  "ticker": "A"\n}', Format.JSON),
        (b"ticker,side", Format.CSV),
        (b'"ticker","side"', Format.CSV),
        (b"", Format.CSV),
    ],
)
def test_a_stream_without_a_name_says_what_it_is_by_its_first_characters(head: bytes, fmt: Format) -> None:
    stream = BytesIO(b"-" + head)
    stream.seek(1)
    assert sniff(stream) is fmt
    assert stream.tell() == 1


@pytest.mark.parametrize(("name", "fmt"), [("a.csv", "csv"), ("dir.json/a.JSONL", "jsonl"), ("x.y.json", "json")])
def test_the_ending_of_a_name_says_its_format(name: str, fmt: str) -> None:
    assert format_of(name) == fmt


@pytest.mark.parametrize("name", ["", "csv", "orders.txt", "orders.csv.gz", "orders.", "json\x1b[2J.\x1b"])
def test_any_other_ending_is_refused_with_the_ones_there_are(name: str) -> None:
    with pytest.raises(InputError, match="not a file of orders") as caught:
        format_of(name)
    assert caught.value.message.isprintable()
    assert ".jsonl" in caught.value.hint


def test_reading_is_linear_in_unclosed_quotes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand lines with a lone quote are paired up; a lone quote in front of many lines looks 100 ahead."""
    decoded = 0
    real: Callable[[int, str], object] = readers._cells

    def counted(number: int, text: str) -> object:
        nonlocal decoded
        decoded += len(text)
        return real(number, text)

    monkeypatch.setattr(readers, "_cells", counted)
    data = CSV + 'A,bid,1,"0.5\n' * 10_000
    assert len(rows(data, Format.CSV)) == 5_000
    assert decoded <= len(data)
