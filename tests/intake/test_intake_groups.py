"""Order groups in rows: by name or id, on the wire only where they are named, and no other row's id moves."""

import json

import pytest

from oms.errors import InputError
from oms.intake import ids
from oms.intake.batches import intents, survey
from oms.intake.dialects import validate
from oms.intake.intents import Intent, request_body

GROUP = "9a3c1d5e-0000-4000-8000-00000000abcd"
OTHER = "9a3c1d5e-0000-4000-8000-00000000abce"
ROW = {"ticker": "T-1", "side": "bid", "count": "1", "price": "0.01"}
GROUPS = {"pins": GROUP, GROUP: GROUP}


def intent(**more: object) -> Intent:
    found = validate({**ROW, **more}, groups=GROUPS)
    assert isinstance(found, Intent), found
    return found


@pytest.mark.parametrize("named", ["pins", GROUP])
def test_a_group_is_named_by_name_or_id_and_goes_out_as_its_id(named: str) -> None:
    assert intent(order_group=named).order_group_id == GROUP
    assert json.loads(request_body(intent(order_group=named)))["order_group_id"] == GROUP


@pytest.mark.parametrize("named", [None, ""])
def test_a_row_without_a_group_is_what_it_was_before_there_were_groups(named: str | None) -> None:
    plain = validate(ROW)
    assert isinstance(plain, Intent)
    assert intent(order_group=named) == plain
    assert "order_group" not in request_body(plain)
    assert ids.normalized(plain) == "v1|T-1|bid|10000|100|good_till_canceled|taker_at_cross|0|0||0|"


def test_the_group_makes_another_row_and_so_another_id() -> None:
    key = ids.key_of_name("batch")
    found = [ids.assign(intent(order_group=named), key, 1) for named in (None, "pins", OTHER)]
    assert len({each.client_order_id for each in found}) == 3
    assert [each.order_group_id for each in found] == [None, GROUP, OTHER]
    assert ids.assign(intent(order_group=GROUP), key, 1) == found[1]  # by whichever word


def test_a_group_that_nobody_knows_is_a_mistake_of_its_row() -> None:
    found = survey([(1, {**ROW, "order_group": "pints"})], groups=GROUPS)
    with pytest.raises(InputError, match="pints"):
        found.check()
    with pytest.raises(InputError, match="pins"):
        list(intents([(1, {**ROW, "order_group": "pins"})], ids.key_of_name("x")))
