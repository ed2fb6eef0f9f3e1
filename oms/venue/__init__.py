"""The only door to Kalshi: signing, HTTP, the exchange's words, rate limits.

Nothing else of oms speaks HTTP. This room may not know the ledger, intake, the configuration or the app: it takes
plain arguments and hands back events (`oms.lifecycle.events`) for writes and frozen records for reads. A write is
sent once and never repeated here; whoever wants another attempt records it first (P1, P2).
"""
