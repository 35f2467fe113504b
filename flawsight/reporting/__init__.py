"""Reports for the file: a stored inspection as a PDF."""

from flawsight.reporting.report import build_report

__all__ = ["build_report"]
