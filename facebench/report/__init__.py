"""Pictures of datasets and of what methods make of them."""

from facebench.report.figures import draw_comparisons
from facebench.report.page import Report, render_report, write_report
from facebench.report.sheet import Sheet, contact_sheet, headline_error, worst_faces, write_sheet

__all__ = [
    "Report",
    "Sheet",
    "contact_sheet",
    "draw_comparisons",
    "headline_error",
    "render_report",
    "worst_faces",
    "write_report",
    "write_sheet",
]
