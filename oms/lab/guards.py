"""What stops, clears and guards: halts, the clearing of the account, order groups, and changes that have to wait.

Also others' orders in the account, which only a clearing may touch.
"""

from collections.abc import Callable

from oms.lab.crash import Steps
from oms.lab.running import Row, Running
from oms.lab.scene import Scene

_WHY = "the story wants it"


class Guards:
    """Acts about the account as a whole."""

    def __init__(self, scene: Scene, running: Running) -> None:
        self._scene = scene
        self._running = running
        self._world = scene.world
        self._rng = scene.rng
        self._made = 0
        if scene.options.guards:
            running.mark = self._put_into_group

    def acts(self) -> list[tuple[int, Callable[[], None]]]:
        """All of them, with their weights."""
        return [
            (2, self.halt),
            (2, self.halt_amid),
            (4, self.unhalt),
            (2, self.clear),
            (2, self.cancel_account),
            (3, self.create_group),
            (2, self.trigger_group),
            (2, self.reset_group),
            (2, self.limit_group),
            (1, self.delete_group),
            (6, self.change_twice),
        ]

    # -- halts --------------------------------------------------------------------------------------------------------

    def halt(self) -> None:
        """Sending is halted until somebody lifts it."""
        if self._scene.has_ledger:
            self._running.live("halt", _WHY)

    def halt_amid(self) -> None:
        """Sending is halted while a run sends."""
        left = self._rng.randint(1, 12)

        def on_step(steps: Steps, name: str) -> None:
            nonlocal left
            if name.startswith(("send", "answer", "sleep")):
                left -= 1
                if left == 0:
                    self._world.live("halt", _WHY)

        name, rows = self._running.new_batch()
        self._world.live("submit", rows, batch=name, on_step=on_step)

    def unhalt(self) -> None:
        """Sending may go on."""
        if self._scene.has_ledger:
            self._running.live("unhalt")

    def change_twice(self) -> None:
        """An order is changed again while its first change waits, mostly because sending is halted."""
        names = self._scene.live_here()
        if not names:
            return
        one = [self._rng.choice(names)]
        is_halted = self._rng.random() < 0.7
        if is_halted:
            self._world.live("halt", _WHY)
        for _ in range(self._rng.randint(2, 3)):
            (self._running.amend if self._rng.random() < 0.6 else self._running.decrease)(one)
        if is_halted:
            self._running.live("unhalt")
        self._running.live("drain")

    # -- everything ---------------------------------------------------------------------------------------------------

    def clear(self) -> None:
        """Nothing is sent any more, and nothing rests any more; perhaps not for long."""
        if self._scene.has_ledger:
            self._world.live("halt", _WHY)
            self._running.live("clear")
            if self._rng.random() < 0.7:
                self._world.live("unhalt")

    def cancel_account(self) -> None:
        """Whatever rests in the account is canceled, also what was placed elsewhere."""
        if self._scene.has_ledger:
            self._running.live("cancel_account")

    # -- groups -------------------------------------------------------------------------------------------------------

    def create_group(self) -> None:
        """A group, with a limit that some trades reach."""
        name = f"g{self._made}" if self._rng.random() < 0.7 else None
        self._made += 1
        self._running.live("create_group", str(self._rng.choice((1, 2, 5, 40))), name=name)

    def trigger_group(self) -> None:
        """What a group holds is canceled."""
        self._of_a_group("trigger_group")

    def reset_group(self) -> None:
        """A group takes orders again."""
        self._of_a_group("reset_group")

    def limit_group(self) -> None:
        """A group gets another limit."""
        self._of_a_group("limit_group", str(self._rng.choice((1, 3, 60))))

    def delete_group(self) -> None:
        """A group ends, and with it what it holds."""
        self._of_a_group("delete_group")

    def _of_a_group(self, verb: str, *more: str) -> None:
        if not self._scene.groups():
            self.create_group()
        groups = self._scene.groups()
        if groups:
            self._running.live(verb, self._rng.choice(groups), *more)

    def _put_into_group(self, row: Row) -> None:
        if "subaccount" not in row and self._rng.random() < 0.5:
            groups = self._scene.groups()
            if groups:
                row["order_group"] = self._rng.choice(groups)

    # -- the end ------------------------------------------------------------------------------------------------------

    def calm(self) -> None:
        """Nothing is halted any more."""
        if self._scene.has_ledger:
            self._world.live("unhalt")

    def settle(self) -> None:
        """What a person does who looks at the exchange: a group there that nobody knows is the one that was made."""
        for number in self._scene.parked_actions():
            known = {*self._scene.groups(), *self._scene.groups(deleted=True)}
            new = [group for group in self._scene.groups_there() if group not in known]
            self._world.live("settle_action", number, order_group_id=new[0] if new else None, absent=not new)
