"""The judge: holds a ledger, and the exchange it spoke to, to the invariants I1-I27, from outside.

It reads SQLite files and the exchange's own words with the standard library alone. Nothing of oms is imported here:
the rules are written a second time, from docs/ledger.md and docs/lifecycle.md, so that a mistake of oms cannot excuse
itself.
"""
