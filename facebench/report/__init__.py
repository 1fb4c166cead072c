"""Pictures of datasets and of what methods make of them."""

from facebench.report.figures import draw_comparisons
from facebench.report.sheet import Sheet, contact_sheet, headline_error, worst_faces, write_sheet

__all__ = ["Sheet", "contact_sheet", "draw_comparisons", "headline_error", "worst_faces", "write_sheet"]
