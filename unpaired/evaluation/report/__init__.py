"""One HTML page that tells a whole run."""

from unpaired.evaluation.report.page import write_report

__all__ = ["write_report"]
