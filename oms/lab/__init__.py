"""What puts oms to the proof from outside: an island that imports nothing else of oms.

`verdict` judges a ledger against the exchange's own file, in its own few lines of SQL, so that a mistake of oms cannot
excuse itself.
"""
