"""Your own limits, held against an order before it can leave: what is allowed, what is live, what an order would add.

`limits` is the record of every limit, `live` counts what may be at the exchange and what it can cost, `checks` holds
one order against both, `pace` counts orders per second. PURE: time, prices and positions are arguments, integers all.

What is live counts in full (P4): an order in doubt may be at the exchange, so it counts as if it were; an order that
is queued counts before a new one is recorded. Nothing is netted that might not happen; where two readings are possible
the larger exposure is taken. Cancels are never held against a limit: getting out must always be possible.
"""
