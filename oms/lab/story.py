"""What happens in a campaign, act by act: runs of oms, other people at the exchange, accidents of machine and files."""

import random
from collections.abc import Callable

from oms.lab.accidents import Accidents
from oms.lab.guards import Guards
from oms.lab.options import Options
from oms.lab.others import Others
from oms.lab.running import OPEN, Running
from oms.lab.scene import Scene
from oms.lab.world import World


class Story:
    """The acts of one campaign, and its end."""

    def __init__(self, world: World, options: Options, rng: random.Random) -> None:
        self.world = world
        self.options = options
        self.scene = Scene(world, options, rng)
        self._rng = rng
        self._running = Running(self.scene)
        self._others = Others(self.scene)
        self._guards = Guards(self.scene, self._running)
        acts: list[tuple[int, Callable[[], None]]] = [
            (8, self._submit),
            (3, self._submit_again),
            (3, self._single),
            (4, self._drain),
            (2, self._retry),
            (4, self._cancel),
            (1, self._cancel_in_bulk),
            (9, self._amend),
            (6, self._decrease),
            (1, self._withdraw),
            (5, self._reconcile),
            (4, self._others.trade),
            (2, self._others.cancel),
            (1, self._others.pause_market),
            (1, self._others.pause_exchange),
            (2, self._others.restart),
            (2, self._wait),
            (1, self._change_key),
            (1, self._change_settings),
            (1, self._others.close_market),
        ]
        accidents = Accidents(self.scene, self._running)
        if options.clock_harm:
            acts += [(3, accidents.set_clock), (1, accidents.suspend)]
        if options.ledger_harm:
            acts += [(2, accidents.copy), (2, accidents.lose), (3, accidents.set_back), (2, accidents.swap)]
        if options.guards:
            acts += self._guards.acts()
        self._acts = [act for _, act in acts]
        self._weights = [weight for weight, _ in acts]

    def act(self) -> None:
        """Let one thing happen."""
        act = self._rng.choices(self._acts, self._weights)[0] if self._running.batches else self._submit
        act()

    # -- runs of oms --------------------------------------------------------------------------------------------------

    def _submit(self) -> None:
        name, rows = self._running.new_batch()
        ttl_s = self._rng.choice((None, None, None, 1, 20))
        self._running.live("submit", rows, batch=name, ttl_s=ttl_s)

    def _submit_again(self) -> None:
        name, rows = self._rng.choice(self._running.batches)
        if name is not None or "client_order_id" in rows[0]:
            self._running.live("submit", rows, batch=name)

    def _single(self) -> None:
        rows = self._running.new_rows(1)
        if self._rng.random() < 0.5:
            rows[0]["client_order_id"] = f"own-{len(self._running.batches)}"
        self._running.batches.append((None, rows))
        self._running.live("submit", rows)

    def _drain(self) -> None:
        self._running.live("drain")

    def _retry(self) -> None:
        name, _ = self._rng.choice(self._running.batches)
        if name is not None:
            self._running.live("retry", name)

    def _cancel(self) -> None:
        names = self.scene.known()
        if names:
            self._running.live("cancel", self._rng.sample(names, min(len(names), self._rng.randint(1, 3))))

    def _cancel_in_bulk(self) -> None:
        if self.scene.has_ledger:
            if self._rng.random() < 0.5:
                self._running.live("cancel", ticker=self._rng.choice(OPEN))
            else:
                self._running.live("cancel", everything=True)

    def _amend(self) -> None:
        names = self.scene.live_here()
        if names:
            self._running.amend(names)

    def _decrease(self) -> None:
        names = self.scene.live_here()
        if names:
            self._running.decrease(names)

    def _withdraw(self) -> None:
        names = self.scene.known()
        if names:
            self._running.live("withdraw", [self._rng.choice(names)])

    def _reconcile(self) -> None:
        self._running.live("reconcile")

    def _wait(self) -> None:
        self.world.wait(self._rng.choice((0.5, 2, 10, 60)))

    def _change_key(self) -> None:
        self.world.use_key(self._rng.randrange(2))

    def _change_settings(self) -> None:
        """Somebody edits the configuration between two runs."""
        rng = self._rng
        resend = rng.choice(("when_absent", "never", "at_once" if self.options.dedupe == "forever" else "when_absent"))
        self.world.use(
            OMS_SUBMIT__RESEND=resend,
            OMS_SUBMIT__CONCURRENCY=str(rng.choice((1, 3, 8))),
            OMS_SUBMIT__BATCH_SIZE=rng.choice(("1", "3", "auto")),
        )

    # -- the end ------------------------------------------------------------------------------------------------------

    def calm(self) -> None:
        """Nothing goes wrong from now on, and everything that was ever submitted is submitted once more."""
        world = self.world
        world.note("calm")
        world.clock.wall_offset_us = 0
        self._others.calm()
        if self.options.guards:
            self._guards.calm()
        world.wait(2 * self.options.horizon_s + 60)

    def settle(self) -> None:
        """One pass of somebody who wants everything done."""
        world = self.world
        if self.scene.was_set_back:
            for name, rows in self._running.batches:
                if name is not None or "client_order_id" in rows[0]:
                    world.live("submit", rows, batch=name)
        world.live("drain")
        world.wait(self.options.horizon_s + 2)
        world.live("reconcile")
        for name in self.scene.parked():  # what a person does who looks it up at the exchange
            there = self.scene.account.by_client_order_id.get(name)
            world.live("resolve", name, order_id=there.order_id if there else None, absent=there is None)
        if self.options.guards:
            self._guards.settle()

    def again(self) -> list[str]:
        """I25: once all is settled, another pass sends nothing and records nothing."""
        before = self.scene.recorded()
        self.settle()
        after = self.scene.recorded()
        return [] if before == after else [f"I25: events and writes were {before}, and {after} after one more pass"]
