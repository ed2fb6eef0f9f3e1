"""Gather what the exchange shows, compare, append what follows (design 5).

`gather` reads and never concludes, `apply` writes what `oms.compare` concluded, `passes` puts them together. A failed
or unwitnessed read concludes nothing. Nothing here sends an order.
"""
