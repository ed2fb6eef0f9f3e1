"""Lives of a campaign, what they submit, and what they suffer: a kill, a wish to stop, a second process beside them."""

from collections.abc import Callable
from typing import Any

from oms.lab.crash import Steps
from oms.lab.scene import Scene
from oms.lab.world import Life

# Three shards, three grids, one market that is paused from the start, one ticker that nobody knows.
TICKERS = (
    *("SBXRAIN-A-T10", "SBXRAIN-A-T20", "SBXTEMP-A-T10", "SBXGAME-A-T10", "SBXCOIN-A-T10", "SBXRATE-A-T10"),
    *("SBXRATE-B-T10", "SBXNONE-A-T10"),
)
OPEN, PAUSED = TICKERS[:6], TICKERS[6]
_WAYS = ("good_till_canceled",) * 6 + ("immediate_or_cancel", "fill_or_kill")

Row = dict[str, Any]
OnStep = Callable[[Steps, str], None]


class Running:
    """Runs lives in a scene. `batches` is what was submitted so far; a single order has no name but its own."""

    def __init__(self, scene: Scene) -> None:
        self.batches: list[tuple[str | None, list[Row]]] = []
        self.mark: Callable[[Row], None] = lambda row: None  # what else a row may say
        self._scene = scene
        self._world = scene.world
        self._rng = scene.rng
        self._options = scene.options

    def live(self, verb: str, *arguments: Any, **options: Any) -> Life:
        """One life, which may be killed, asked to stop, or have a second one beside it."""
        rng = self._rng
        crash_at = None
        on_step: OnStep = lambda steps, name: None  # noqa: E731
        if rng.random() < self._options.crash_rate:
            if rng.random() < 0.5:
                on_step = self._amid_sending(rng.randint(1, 12))
            else:  # as many ends among the first twenty steps as among the next three hundred
                crash_at = round(2 ** rng.uniform(0, 8.5))
        elif rng.random() < 0.06:
            on_step = self._interrupting(rng.randint(1, 120))
        elif self._options.second_process and rng.random() < 0.5:
            on_step = self._beside(rng.randint(1, 25))
        return self._world.live(verb, *arguments, crash_at=crash_at, on_step=on_step, **options)

    def amend(self, names: list[str]) -> Life:
        """One of these orders gets other terms."""
        rng = self._rng
        price = f"0.{rng.randint(1, 12):02}" if rng.random() < 0.7 else None
        count = str(rng.randint(1, 9)) if price is None or rng.random() < 0.4 else None
        return self.live("amend", rng.choice(names), price=price, count=count)

    def decrease(self, names: list[str]) -> Life:
        """One of these orders gets smaller."""
        how, count = self._rng.choice((("to", "1"), ("to", "2"), ("by", "1"), ("by", "0.50")))
        return self.live("decrease", self._rng.choice(names), **{how: count})

    def _amid_sending(self, after: int) -> OnStep:
        """The life ends while requests are handed over, sent and answered."""
        left = after

        def on_step(steps: Steps, name: str) -> None:
            nonlocal left
            left -= name.startswith(("hand over", "send POST", "answer POST", "send DELETE", "answer DELETE"))
            if left == 0:
                steps.end(name)

        return on_step

    def _interrupting(self, after: int) -> OnStep:
        """Somebody asks the run to stop."""
        left = after

        def on_step(steps: Steps, name: str) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                self._scene.harm += 1
                steps.interrupt(15)

        return on_step

    def _beside(self, after: int) -> OnStep:
        """A second process runs while the first one waits for the network."""
        left = after

        def on_step(steps: Steps, name: str) -> None:
            nonlocal left
            if name.startswith(("send", "sleep", "answer")):
                left -= 1
                if left == 0:
                    self._scene.harm += 1
                    self._second()

        return on_step

    def _second(self) -> None:
        world, rng = self._world, self._rng
        crash_at = rng.randint(1, 60) if rng.random() < self._options.crash_rate else None
        if rng.random() < 0.45:  # somebody removes the lock of the first one's run: only the epoch is left
            world.ledger_path.with_name("oms.sqlite3.lock").unlink(missing_ok=True)
            world.note("lock removed")
            world.live("drain", crash_at=crash_at)
        elif rng.random() < 0.6:
            name, rows = self.new_batch()
            world.live("submit", rows, batch=name, wait=False, crash_at=crash_at)
        else:
            world.live("reconcile", wait_s=0, crash_at=crash_at)

    # -- what is submitted --------------------------------------------------------------------------------------------

    def new_batch(self) -> tuple[str, list[Row]]:
        """A batch that nobody has submitted before."""
        name = f"b{len(self.batches)}"
        rows = self.new_rows(self._rng.randint(1, self._options.most_rows))
        self.batches.append((name, rows))
        return name, rows

    def new_rows(self, count: int) -> list[Row]:
        """So many orders, each with a tag of its own."""
        return [self._new_row(f"{len(self.batches)}/{number}") for number in range(count)]

    def _new_row(self, tag: str) -> Row:
        rng = self._rng
        row: Row = {
            "ticker": rng.choice(OPEN) if rng.random() < 0.93 else rng.choice(TICKERS),
            "side": rng.choice(("bid", "ask")),
            "price": f"{rng.randint(1, 99) / 100:.2f}",
            "count": str(rng.randint(1, 5)) if rng.random() < 0.9 else "1.5",
            "time_in_force": rng.choice(_WAYS),
            "tag": tag,
        }
        if rng.random() < 0.1:  # rests and never trades: oms reads the positions of the primary subaccount only
            row.update(subaccount=1, side="bid", price="0.01", time_in_force=_WAYS[0])
        self.mark(row)
        return row
