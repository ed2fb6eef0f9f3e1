"""Whose account it is, and whether what it shows can be all of it, before anything is sent or concluded."""

from collections.abc import Iterator

import pytest

from oms.errors import LedgerForeign
from oms.sandbox.auth import new_private_pem
from tests.contract.worlds import LIST, World, fault, row
from tests.sandbox.running import start_sandbox


@pytest.fixture
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Another exchange, whose user is another one."""
    directory = tmp_path_factory.mktemp("elsewhere")
    with start_sandbox(directory / "sandbox", tier="unlimited", skew_s=1) as sandbox:
        yield World(sandbox, directory)


def moved(world: World, to: World) -> World:
    """The ledger of one world asked to work on the exchange of the other."""
    found = World(to.sandbox, world.directory)
    found.ledger_path = world.ledger_path
    return found


@pytest.mark.fault(82)
def test_a_key_of_another_user_is_refused_before_anything_of_that_account_is_recorded(
    own_world: World, elsewhere: World
) -> None:
    """The same file has the same ids in both accounts: the other order looked like a second one, and halted sending."""
    ours = own_world.submit([row()], name="same")
    theirs = elsewhere.submit([row()], name="same")
    assert ours.orders[0].client_order_id == theirs.orders[0].client_order_id
    before = ours.events(), ours.events(command=None)
    wrong = moved(own_world, elsewhere)
    with pytest.raises(LedgerForeign, match="the API key belongs to user"):
        wrong.drain()
    with pytest.raises(LedgerForeign, match="the API key belongs to user"):
        wrong.submit([row(count="5")])
    assert (ours.events(), ours.events(command=None)) == before
    assert len(elsewhere.sandbox.orders()) == 1
    assert own_world.submit([row(count="6")]).exit_code == 0, "nothing is halted"


def test_an_account_that_shows_nothing_of_what_the_ledger_knows_is_sent_nothing(
    own_world: World, elsewhere: World
) -> None:
    own_world.submit([row()])
    with own_world.opened() as oms:
        assert oms.reconcile().exit_code == 0  # so that the orders are older than what is read at a start
    wrong = moved(own_world, elsewhere)
    run = wrong.submit([row(count="5")], submit__wait_s=0.2)
    assert (run.exit_code, run.states) == (6, ["queued"])
    assert run.report.stop is not None
    assert "shows none of the 1 orders" in run.report.stop.message
    assert elsewhere.sandbox.orders() == []
    assert own_world.drain().exit_code == 0


@pytest.mark.fault(59)
def test_a_listing_that_is_suddenly_empty_is_no_reading_of_the_account(own_world: World) -> None:
    own_world.submit([row()], submit__in_flight_horizon_s=3)
    own_world.faults(fault("empty_list", LIST, times=2))
    run = own_world.submit([row()], submit__in_flight_horizon_s=3, submit__wait_s=5)
    assert (run.exit_code, run.statuses) == (0, ["resting"])
    assert len([each for each in own_world.sandbox.log() if each["fault"]]) == 2


def test_another_key_of_the_same_user_goes_on(own_world: World) -> None:
    own_world.submit([row()])
    use_a_second_key(own_world)
    run = own_world.submit([row()])
    assert (run.exit_code, run.statuses) == (0, ["resting"])


@pytest.mark.usefixtures("impatient")
def test_the_silence_of_another_key_about_an_account_never_seen_is_told_and_proves_nothing(own_world: World) -> None:
    own_world.faults(fault("drop"), fault("error", LIST, nth=2, times=None))
    settings = {"submit__in_flight_horizon_s": 1.2, "venue__timeout_s": 0.3, "submit__wait_s": 0.1}
    run = own_world.submit([row()], **settings)
    assert run.states == ["in_doubt"]
    own_world.faults()
    first = own_world.key_id, own_world.key_path
    use_a_second_key(own_world)
    with own_world.opened(**settings) as oms:
        report = oms.reconcile()
    assert (report.exit_code, report.absent) == (3, 0)
    assert any("another API key" in note for note in report.notes)
    own_world.key_id, own_world.key_path = first
    assert own_world.drain().exit_code == 0
    assert own_world.order(run.orders[0].client_order_id).status == "resting"


def use_a_second_key(world: World) -> None:
    pem = new_private_pem("ed25519")
    added = world.sandbox.control(add_key={"private_pem": pem.decode()})
    world.key_id = added["added_key_id"]
    world.key_path = world.directory / "second.pem"
    world.key_path.write_bytes(pem)
    world.key_path.chmod(0o600)


def test_a_new_key_on_a_new_ledger_and_an_empty_account_just_works(own_world: World) -> None:
    assert own_world.drain().exit_code == 0
    assert own_world.submit([row()]).exit_code == 0
