"""Reports for the file: a stored inspection, a lot or a non-conformance as a PDF."""
