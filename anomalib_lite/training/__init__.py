"""Fits a detector to good images: the only part of the host that needs torch and Lightning, beside the export."""
