"""Pictures of datasets and of what methods make of them."""

from facebench.report.sheet import Sheet, contact_sheet, worst_faces, write_sheet

__all__ = ["Sheet", "contact_sheet", "worst_faces", "write_sheet"]
