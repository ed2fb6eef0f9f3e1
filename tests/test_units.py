"""Decimal text and scaled integers, exactly (P8)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms import units

MICRO = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "places", "value"),
    [
        ("0", 6, 0),
        ("0.56", 6, 560_000),
        ("0.5600000", 6, 560_000),
        ("0.000001", 6, 1),
        ("1", 2, 100),
        ("0010.10", 2, 1010),
        ("-0.07", 6, -70_000),
        ("-0", 2, 0),
        ("999999999999999.99", 2, 99_999_999_999_999_999),
        ("0.100000000000", 2, 10),
    ],
)
def test_decimal_text_is_read_exactly(text: str, places: int, value: int) -> None:
    assert units.parse_scaled(text, places) == value


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "1 ", " 1", "+1", "1.", ".5", "1e3", "1_0", "NaN", "inf", "0x1", "1,0", "--1", "1.2.3", "1\n"),
        *("\uff11", "\u22121", "\u00bd", "9" * 16, "0." + "1" * 13),
    ],
)
def test_what_is_no_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a decimal number"):
        units.parse_scaled(text, 6)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (units.parse_dollars, "0.5600001"),
        (units.parse_count, "1.001"),
        (units.cents_to_e6, "56.00001"),
    ],
)
def test_a_digit_that_would_be_lost_is_refused(parse: Callable[[str], int], text: str) -> None:
    with pytest.raises(ValueError, match="decimal places"):
        parse(text)


def test_cents_are_hundredths_of_a_dollar() -> None:
    assert units.cents_to_e6("56") == units.parse_dollars("0.56")
    assert units.cents_to_e6("0.5") == units.parse_dollars("0.005")
    assert units.cents_to_e6("-1.25") == units.parse_dollars("-0.0125")


@given(st.integers(-(10**18), 10**18), st.integers(0, 8))
def test_scaling_agrees_with_decimal(value: int, places: int) -> None:
    text = format(Decimal(value).scaleb(-places), "f")
    if len(text.lstrip("-").partition(".")[0]) <= 15:
        assert units.parse_scaled(text, places) == value


@given(st.integers(-(10**17), 10**17))
def test_dollars_come_back_as_they_went(value_e6: int) -> None:
    text = units.format_dollars(value_e6)
    assert units.parse_dollars(text) == value_e6
    assert Decimal(text) == Decimal(value_e6).scaleb(-6)
    assert len(text.partition(".")[2]) >= 4


@given(st.integers(-(10**15), 10**15))
def test_counts_come_back_as_they_went(value_e2: int) -> None:
    text = units.format_count(value_e2)
    assert units.parse_count(text) == value_e2
    assert len(text.partition(".")[2]) == 2


@pytest.mark.parametrize(
    ("value_e6", "places", "text"),
    [
        (560_000, 4, "0.5600"),
        (560_000, 2, "0.56"),
        (560_001, 2, "0.560001"),
        (565_000, 2, "0.565"),
        (-70_000, 4, "-0.0700"),
        (-1, 4, "-0.000001"),
        (1_000_000_000, 4, "1000.0000"),
        (0, 4, "0.0000"),
    ],
)
def test_dollars_show_at_least_the_places_asked_for_and_drop_nothing(value_e6: int, places: int, text: str) -> None:
    assert units.format_dollars(value_e6, places) == text


@pytest.mark.parametrize(
    ("value_e2", "text"), [(0, "0.00"), (1, "0.01"), (-150, "-1.50"), (10**14, "1000000000000.00")]
)
def test_counts_always_show_two_places(value_e2: int, text: str) -> None:
    assert units.format_count(value_e2) == text


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2025-11-22T21:54:00Z", "2025-11-22T21:54:00.000000Z"),
        ("2025-11-22t21:54:00z", "2025-11-22T21:54:00.000000Z"),
        ("2025-11-22 21:54:00.5Z", "2025-11-22T21:54:00.500000Z"),
        ("2025-11-22T21:54:00.123456789Z", "2025-11-22T21:54:00.123456Z"),
        ("2025-11-22T23:54:00+02:00", "2025-11-22T21:54:00.000000Z"),
        ("2025-11-22T16:24:00-05:30", "2025-11-22T21:54:00.000000Z"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000000Z"),
        ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
        ("0001-01-01T00:00:00+01:00", None),
    ],
)
def test_times_are_read_with_their_zone(text: str, same: str | None) -> None:
    at_us = units.parse_time_us(text)
    if same is not None:
        assert units.format_time(at_us) == same


@pytest.mark.parametrize(
    "text",
    [
        *("", "2025-11-22", "2025-11-22T21:54Z", "2025-11-22T21:54:00", "2025-11-22T21:54:00+0200"),
        *("2025-02-30T00:00:00Z", "2025-13-01T00:00:00Z", "2025-11-22T24:00:00Z", "2025-11-22T21:60:00Z"),
        *("2025-11-22T21:54:60Z", "2025-11-22T21:54:00+24:00", "2025-11-22T21:54:00-02:60"),
        *(
            "2025-11-22T21:54:00.Z",
            "2025-11-22T21:54:00.1234567890Z",
            "\uff12025-11-22T21:54:00Z",
            " 2025-11-22T21:54:00Z",
        ),
        "0000-01-01T00:00:00Z",
    ],
)
def test_what_is_no_time_with_a_zone_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        units.parse_time_us(text)


@given(st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)), st.integers(-1439, 1439))
def test_times_agree_with_datetime(moment: datetime, offset_min: int) -> None:
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=offset_min)))
    assert units.parse_time_us(zoned.isoformat()) == (zoned - EPOCH) // MICRO


@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999))
def test_times_come_back_as_they_went(at_us: int) -> None:
    assert units.parse_time_us(units.format_time(at_us)) == at_us


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0.0000"),
        (1, "0.00000001"),
        (-150_000_000, "-1.5000"),
        (123_456_789_012, "1234.56789012"),
        (-1, "-0.00000001"),
    ],
)
def test_a_price_times_a_count_is_told_to_its_last_digit(value: int, text: str) -> None:
    assert units.format_dollars_e8(value) == text
