"""Pictures of datasets and of what methods make of them."""

from facebench.report.contents import Report
from facebench.report.curves import Curve, curve_of_errors, read_curves
from facebench.report.figures import draw_comparisons, write_figures
from facebench.report.page import render_report, write_report
from facebench.report.sheet import Sheet, contact_sheet, headline_error, worst_faces, write_sheet

__all__ = [
    "Curve",
    "Report",
    "Sheet",
    "contact_sheet",
    "curve_of_errors",
    "draw_comparisons",
    "headline_error",
    "read_curves",
    "render_report",
    "worst_faces",
    "write_figures",
    "write_report",
    "write_sheet",
]
