"""Ids and batch keys: golden vectors that must hold for ever, and the layout read back by other means."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.errors import InputError
from oms.intake import ids
from oms.intake.intents import Intent
from oms.lifecycle.states import Action, Outcome, SelfTradePrevention, Side, TimeInForce

PLAIN = Intent("", "KXBTC-26SEP30-T100000", Side.BID, 560_000, 100)
FULL = Intent(
    "",
    "KX-1.5_a",
    Side.ASK,
    12_300,
    250,
    TimeInForce.IMMEDIATE_OR_CANCEL,
    SelfTradePrevention.MAKER,
    reduce_only=True,
    expiration_time=1_893_456_000,
    subaccount=7,
)
OWN = replace(PLAIN, client_order_id="mine-1", own_id=True)
NAMED = ids.key_of_name("morning")


def test_the_normalized_row_is_as_it_was_in_version_1() -> None:
    assert ids.normalized(PLAIN) == "v1|KXBTC-26SEP30-T100000|bid|560000|100|good_till_canceled|taker_at_cross|0|0||0|"
    assert ids.normalized(FULL) == "v1|KX-1.5_a|ask|12300|250|immediate_or_cancel|maker|0|1|1893456000|7|"
    assert (
        ids.normalized(OWN) == "v1|KXBTC-26SEP30-T100000|bid|560000|100|good_till_canceled|taker_at_cross|0|0||0|mine-1"
    )


GOLDEN_KEYS = [
    (lambda: ids.key_of_name("morning"), "7fa0a667dc42c734d5cf04650aa1990625fc3355525577c2ee1b431219e1fdad"),
    (lambda: ids.key_of_name("Frühstück"), "3f18feddc0228509f6b1d1cdd0c7ba0e2cabff3b42cba372e18fa06a4edfba96"),
    (lambda: ids.key_of_content(bytes(32)), "f1785faf20e8565f3d0b345932ce99aaa242aafa615fd41e0144e801ccc1750a"),
    (lambda: ids.key_of_nonce(bytes(16)), "d7ff564bed219374a82dceba847afb0f9012bd7f8223bbdf020fafd5a378dbaa"),
    (lambda: ids.key_of_retry(bytes(32), 1), "cd39e71fbfaf53b2d3d9b5af8ef1819f8bce69cd884958e897492c891c5fdf3f"),
]


@pytest.mark.parametrize(("make", "golden"), GOLDEN_KEYS)
def test_batch_keys_are_the_golden_ones(make: Callable[[], bytes], golden: str) -> None:
    assert make().hex() == golden


GOLDEN_IDS = [
    (PLAIN, 1, "6f6d7fa0-a667-8dc4-8b1c-000001aef7ba"),
    (PLAIN, 2, "6f6d7fa0-a667-8dc4-8b1c-000002841be5"),
    (FULL, 1, "6f6d7fa0-a667-8dc4-8b1c-000001f39691"),
    (FULL, 1_000_000, "6f6d7fa0-a667-8dc4-8b1c-0f424018a991"),
    (PLAIN, ids.MAX_ROWS, "6f6d7fa0-a667-8dc4-8b1f-ffffff981472"),
]


@pytest.mark.parametrize(("intent", "row", "golden"), GOLDEN_IDS)
def test_ids_are_the_golden_ones(intent: Intent, row: int, golden: str) -> None:
    placed = ids.assign(intent, NAMED, row)
    assert placed.client_order_id == golden
    assert replace(placed, client_order_id="") == intent


def test_row_digests_are_the_golden_ones() -> None:
    assert [ids.row_digest(intent).hex() for intent in (PLAIN, FULL, OWN)] == [
        "058f8587d12bf1f8",
        "045f69ddefad93bb",
        "790fdbc60f3abb8c",
    ]


def test_what_the_exchange_does_not_see_changes_no_digest_and_what_it_sees_does() -> None:
    unseen = replace(PLAIN, tag="x", submit_before_us=1, action=Action.SELL, outcome=Outcome.NO, subaccount=0)
    assert ids.normalized(unseen) == ids.normalized(PLAIN)
    seen = [
        replace(PLAIN, ticker="KX"),
        replace(PLAIN, side=Side.ASK),
        replace(PLAIN, price_e6=560_100),
        replace(PLAIN, count_e2=101),
        replace(PLAIN, time_in_force=TimeInForce.FILL_OR_KILL),
        replace(PLAIN, self_trade_prevention_type=SelfTradePrevention.MAKER),
        replace(PLAIN, post_only=True),
        replace(PLAIN, reduce_only=True),
        replace(PLAIN, expiration_time=1),
        replace(PLAIN, subaccount=1),
        OWN,
    ]
    assert len({ids.row_digest(intent) for intent in (PLAIN, *seen)}) == len(seen) + 1


def test_an_id_is_a_version_8_uuid_made_of_mark_batch_row_and_check() -> None:
    made = ids.assign(FULL, NAMED, 70_000).client_order_id
    uuid = UUID(made)
    assert (str(uuid), uuid.version, uuid.variant) == (made, 8, RFC_4122)
    bits = f"{uuid.int:0128b}"
    free = bits[:48] + bits[52:64] + bits[66:]
    assert len(free) == 122
    assert int(free[:16], 2) == ids.MARK
    assert int(free[16:72], 2) == int.from_bytes(NAMED[:7], "big") == ids.batch_digest(NAMED)
    assert int(free[72:98], 2) == 70_000
    check = hashlib.sha256(NAMED + (70_000).to_bytes(4, "big") + ids.normalized(FULL).encode()).digest()
    assert int(free[98:], 2) == int.from_bytes(check[:3], "big")


@given(
    key=st.binary(min_size=32, max_size=32),
    row=st.integers(1, ids.MAX_ROWS),
    other=st.integers(1, ids.MAX_ROWS),
    text=st.text(max_size=20),
)
def test_an_id_tells_its_batch_and_row_and_sorts_by_them(key: bytes, row: int, other: int, text: str) -> None:
    made = ids.derive(key, row, text)
    assert ids.parse_id(made) == (ids.batch_digest(key), row)
    assert ids.is_ours(made)
    if row != other:
        assert (made < ids.derive(key, other, text)) == (row < other)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_ids_of_two_batches_sort_by_batch(one: bytes, two: bytes) -> None:
    if one[:7] != two[:7]:
        assert (ids.derive(one, ids.MAX_ROWS, "") < ids.derive(two, 1, "")) == (one < two)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mine-1",
        "97c753c6-45f1-49a0-9040-0006fe638de8",
        "6f6d68cb-14d6-40bd-bac8-000001e781a7",  # another version
        "6f6d68cb-14d6-80bd-3ac8-000001e781a7",  # another variant
        "6f6e68cb-14d6-80bd-bac8-000001e781a7",  # another mark
        "6f6d68cb-14d6-80bd-bac0-000000e781a7",  # row 0
        "6F6D68CB-14D6-80BD-BAC8-000001E781A7",  # we write lower case, and the exchange compares exactly
        "6f6d68cb14d680bdbac8000001e781a7",
        "6f6d68cb-14d6-80bd-bac8-000001e781a7\n",
    ],
)
def test_ids_that_oms_did_not_make_are_not_taken_for_its_own(text: str) -> None:
    assert ids.parse_id(text) is None
    assert not ids.is_ours(text)


@given(st.text(max_size=64))
def test_no_text_breaks_the_recognition_of_ids(text: str) -> None:
    assert ids.is_ours(text) == (ids.parse_id(text) is not None)


def test_a_callers_own_id_is_kept() -> None:
    assert ids.assign(OWN, NAMED, 5) is OWN


def test_one_name_typed_on_two_systems_is_one_batch() -> None:
    assert ids.check_name("Fru\u0308hstu\u0308ck") == "Frühstück"
    assert ids.key_of_name("Fru\u0308hstu\u0308ck") == ids.key_of_name("Frühstück")


@pytest.mark.parametrize("name", ["", " ", " a", "a ", "a\nb", "\x1b[2J", "x" * 101, "\ud800"])
def test_a_batch_name_that_cannot_be_shown_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="cannot be used"):
        ids.check_name(name)


def test_kinds_of_keys_never_meet() -> None:
    content = bytes(range(32))
    keys = {ids.key_of_content(content), ids.key_of_nonce(content), *(ids.key_of_retry(content, n) for n in (1, 2))}
    assert len(keys) == 4


# -- which row a retry was of ---------------------------------------------------------------------------------------

TEXTS = {f"row-{n}": ids.normalized(replace(PLAIN, price_e6=n // 2 * 10_000)) for n in range(2, 40)}  # in equal pairs
RETRY = ids.key_of_retry(NAMED, 1)


def sent_again(rows: list[str]) -> dict[str, str]:
    """The ids under which a retry of these rows sends them, with the text that each has."""
    return {ids.derive(RETRY, number, TEXTS[row]): TEXTS[row] for number, row in enumerate(rows, 1)}


@given(st.lists(st.sampled_from(list(TEXTS)), unique=True), st.data())
def test_the_rows_of_a_retry_are_known_by_its_ids_however_few_of_them_are_seen(
    rows: list[str], data: st.DataObject
) -> None:
    sent = sent_again(rows)
    seen = data.draw(st.lists(st.sampled_from(list(sent)), unique=True)) if sent else []
    found = ids.rows_of_retry(RETRY, seen, TEXTS)
    assert sorted(found.values()) == sorted(seen), "each seen order is one row, and each only once"
    assert all(TEXTS[row] == sent[client_order_id] for row, client_order_id in found.items())


def test_orders_of_another_retry_or_of_other_rows_are_no_rows_of_this_one() -> None:
    other_key = ids.key_of_retry(NAMED, 2)
    others = [ids.derive(other_key, 1, TEXTS["row-2"]), ids.derive(RETRY, 1, "v1|another row"), "mine-1", ""]
    assert ids.rows_of_retry(RETRY, others, TEXTS) == {}
