"""Queued, wire, answer: claimed commands out, events back into the ledger (design 3).

`turn` is one plain call without threads: record answers, decide whether sending goes on, claim what is next. `senders`
are threads that each carry one request at a time. `run` is the loop that joins them. Nothing here concludes anything
about an order in doubt: that is the reconciler's.
"""
