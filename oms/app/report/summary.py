"""A report's figures as the fields of an answer, and as a few lines for a table."""

from typing import Any

from oms.app.report.figures import MARKETS_SHOWN, Figures, Latency, Market, Rate
from oms.lifecycle.states import OrderStatus
from oms.units import format_count, format_dollars, format_time

STATUSES = tuple(status.value for status in OrderStatus)


def dollars(value_e8: int) -> str:
    """Dollars x 10^8, cut off below a millionth."""
    return format_dollars(value_e8 // 100 if value_e8 >= 0 else -(-value_e8 // 100))


def by_status(figures: Figures) -> dict[str, int]:
    """How many orders ended or stand where, in the order of a life."""
    counts = dict.fromkeys(STATUSES, 0)
    for status, _, number in figures.outcomes:
        counts[status] = counts.get(status, 0) + number
    return counts


def fields(figures: Figures) -> dict[str, Any]:
    """All figures, for json; amounts are text, latencies integer microseconds."""
    counts, last, rate = by_status(figures), figures.last, figures.rate
    recorded, sent = figures.latencies
    return {
        "environment": figures.environment,
        "ledger": figures.ledger,
        "made_at": format_time(figures.made_at_us),
        "since": None if figures.since_us is None else format_time(figures.since_us),
        "orders": {"total": sum(counts.values()), **counts, "in_doubt": figures.in_doubt},
        "reasons": [
            {"status": status, "reason": reason, "orders": number}
            for status, reason, number in figures.outcomes
            if reason is not None
        ],
        "attempts": {
            "made": figures.answers["attempts"],
            "acknowledged": figures.answers["acknowledged"],
            "refused": figures.answers["attempt_refused"],
            "unknown": figures.answers["attempt_unknown"] + figures.answers["id_taken"],
            "without_effect": figures.answers["not_processed"],
            "without_answer": max(0, 2 * figures.answers["attempts"] - figures.answers.total()),
        },
        "recorded_to_acknowledged": _latency(recorded),
        "sent_to_acknowledged": _latency(sent),
        "rate": {
            "seconds_with_any": len(rate.attempts),
            "most_attempts_in_a_second": max(rate.attempts.values(), default=0),
            **_budget(rate),
        },
        "money": {
            "trades": sum(market.trades for market in figures.markets),
            "contracts": format_count(sum(market.contracts_e2 for market in figures.markets)),
            "cash": dollars(last.cash_e8),
            "realized": dollars(last.realized_e8),
            "fees": format_dollars(last.fees_e6),
        },
        "markets": [_market(market) for market in figures.markets[:MARKETS_SHOWN]],
        "markets_not_shown": max(0, len(figures.markets) - MARKETS_SHOWN),
    }


def _budget(rate: Rate) -> dict[str, Any]:
    """Tokens used of what refilled in the seconds that used any; None where no budget is known."""
    if not rate.allowed:
        return {"tokens": None, "tokens_allowed": None, "share": None, "attempts_of_unknown_budget": rate.unknown}
    used, allowed = sum(rate.tokens.values()), sum(rate.allowed.values())
    return {
        "tokens": used,
        "tokens_allowed": allowed,
        "share": format_count(100 * used // allowed) if allowed else None,
        "attempts_of_unknown_budget": rate.unknown,
    }


def share(rate: Rate) -> str:
    """The same for a person: "1,000 of 1,020 tokens, 98 %", or that it is not known."""
    told = _budget(rate)
    if told["tokens"] is None:
        return "unknown" if rate.attempts else "nothing was sent"
    percent = 100 * told["tokens"] // told["tokens_allowed"]
    more = f"; {rate.unknown:,} attempts of an unknown budget apart" if rate.unknown else ""
    return f"{told['tokens']:,} of {told['tokens_allowed']:,} tokens, {percent} %{more}"


def _latency(latency: Latency) -> dict[str, int | None]:
    return {
        "orders": len(latency.values),
        "p50_us": latency.rank(500),
        "p90_us": latency.rank(900),
        "p99_us": latency.rank(990),
        "most_us": latency.rank(1000),
    }


def _market(market: Market) -> dict[str, Any]:
    return {
        "ticker": market.ticker,
        "trades": market.trades,
        "contracts": format_count(market.contracts_e2),
        "position": format_count(market.position_e2),
        "realized": dollars(market.realized_e8),
        "fees": format_dollars(market.fees_e6),
    }


def pairs(figures: Figures) -> dict[str, Any]:
    """The same in one line each, for a table."""
    told = fields(figures)
    recorded, sent = figures.latencies
    return {
        "environment": told["environment"],
        "since": told["since"],
        "orders": told["orders"]["total"],
        **{status: number for status, number in by_status(figures).items() if number},
        "in doubt": told["orders"]["in_doubt"],
        "attempts": told["attempts"]["made"],
        "most in a second": f"{told['rate']['most_attempts_in_a_second']} attempts",
        "of the rate allowed": share(figures.rate),
        recorded.title: _spread(recorded),
        sent.title: _spread(sent),
        **{name: told["money"][name] for name in ("trades", "contracts", "cash", "realized", "fees")},
    }


def _spread(latency: Latency) -> str | None:
    if not latency.values:
        return None
    return ", ".join(f"{name} {duration(latency.rank(rank))}" for name, rank in (("p50", 500), ("p99", 990)))


def duration(us: int | None) -> str:
    """Microseconds as a person reads them: "850 µs", "12.5 ms", "3.20 s", "1 h 23 min"."""
    if us is None:
        return "-"
    if us < 1_000:
        return f"{us} µs"
    if us < 1_000_000:
        return f"{us // 1_000}.{us // 100 % 10} ms"
    if us < 600_000_000:
        return f"{us // 1_000_000}.{us // 10_000 % 100:02d} s"
    hours, minutes = divmod(us // 60_000_000, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
