"""What a campaign is like, drawn from its seed: how oms and the exchange are set, and how much harm is done."""

import random
from dataclasses import asdict, dataclass

from oms.sandbox.knobs import Knobs


@dataclass(frozen=True, slots=True)
class Options:
    """One campaign's options; printed when it fails."""

    seed: int
    acts: int  # what happens before the harm ends
    most_rows: int  # of one batch
    crash_rate: float  # share of the lives that are killed
    write_harm: float  # share of the writes that meet something
    read_harm: float
    ledger_harm: bool  # the ledger may be lost or go back in time
    clock_harm: bool  # clocks jump, the machine sleeps, senders lose their turn
    second_process: bool
    dedupe: str
    tier: str
    horizon_s: float
    skew_ms: int  # what the exchange tolerates; the horizon covers it
    read_lag_ms: int
    burn_refused_ids: bool
    resend: str
    concurrency: int
    batch_size: str
    stray: float  # share of the writes that are answered for another order, or as if theirs were not there
    guards: bool  # halts, clearings of the account, order groups, and changes of one order behind each other

    @property
    def shown(self) -> str:
        """All of them in a line."""
        return " ".join(f"{name}={value}" for name, value in asdict(self).items())

    def knobs(self) -> Knobs:
        """The exchange's settings."""
        return Knobs(
            tier=self.tier,  # type: ignore[arg-type]
            dedupe=self.dedupe,  # type: ignore[arg-type]
            skew_ms=self.skew_ms,
            read_lag_ms=self.read_lag_ms,
            burn_refused_ids=self.burn_refused_ids,
        )

    def settings(self) -> dict[str, str]:
        """Those of oms, as environment variables."""
        return {
            "OMS_SUBMIT__CONCURRENCY": str(self.concurrency),
            "OMS_SUBMIT__BATCH_SIZE": self.batch_size,
            "OMS_SUBMIT__IN_FLIGHT_HORIZON_S": str(self.horizon_s),
            "OMS_SUBMIT__RESEND": self.resend,
        }


def drawn(seed: int) -> Options:
    """The options of a seed."""
    rng = random.Random(f"options {seed}")  # noqa: S311 - the draw of a simulation
    # By a draw of its own, and often none: so what older seeds have met stays as it was.
    stray = random.Random(f"stray {seed}").choice((0.0, 0.0, 0.1, 0.3))  # noqa: S311
    guards = random.Random(f"guards {seed}").random() < 0.4  # noqa: S311
    dedupe = rng.choice(("forever", "forever", "open_only"))
    horizon_s, skew_ms = rng.choice(((3.0, 2_500), (3.0, 2_500), (12.0, 10_000)))
    # Sending again at once rests on the exchange's memory of ids (P2).
    resend = rng.choice(("when_absent",) * 6 + ("never", "at_once" if dedupe == "forever" else "when_absent"))
    return Options(
        seed=seed,
        acts=rng.randint(4, 9),
        most_rows=rng.choice((1, 4, 8, 8, 24)),
        crash_rate=rng.choice((0.2, 0.4, 0.7)),
        write_harm=rng.choice((0.1, 0.3, 0.5, 0.8)),
        read_harm=rng.choice((0.0, 0.0, 0.1, 0.25)),
        ledger_harm=rng.random() < 0.35,
        clock_harm=rng.random() < 0.35,
        second_process=rng.random() < 0.4,
        dedupe=dedupe,
        tier=rng.choice(("unlimited", "unlimited", "advanced", "basic")),
        horizon_s=horizon_s,
        skew_ms=skew_ms,
        read_lag_ms=rng.choice((0, 0, 150, 900)),
        burn_refused_ids=rng.random() < 0.2,
        resend=resend,
        concurrency=rng.choice((1, 2, 4, 8)),
        batch_size=rng.choice(("1", "1", "2", "5", "auto")),
        stray=stray,
        guards=guards,
    )
