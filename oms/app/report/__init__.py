"""The report: order outcomes, latency, fills and result over time, rate used; figures, and one page with charts.

`figures` adds up, `summary` puts it into an answer, `charts` draws, `page` is the page.
"""

from oms.app.report.figures import Figures, gather
from oms.app.report.page import page
from oms.app.report.summary import fields, pairs

__all__ = ["Figures", "fields", "gather", "page", "pairs"]
