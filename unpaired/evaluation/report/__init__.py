"""The report of a run, and the comparison of several: self-contained HTML pages."""

from unpaired.evaluation.report.compare import write_comparison
from unpaired.evaluation.report.page import write_report

__all__ = ["write_comparison", "write_report"]
