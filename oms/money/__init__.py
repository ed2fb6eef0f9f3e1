"""Positions, cost, profit and cash from fills and settlements, exact, and how they tie out with the exchange. PURE.

Units: a price is dollars x 10^6 (`price_e6`), a count contracts x 10^2 (`count_e2`), so what a trade moves is their
product, dollars x 10^8 (`_e8`). Fees and the exchange's own figures are dollars x 10^6 (`_e6`).

A position is a signed number of YES contracts: NO contracts are YES sold short, at the YES price, with a dollar of
collateral for each. Buying YES at p pays p; selling YES that is not held (buying NO at 1 - p) receives p and locks up
1, which together is the 1 - p that the exchange takes. So one rule covers both legs, and closing a pair pays itself.
"""
