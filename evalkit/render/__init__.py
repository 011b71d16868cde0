"""Renders the documents of a run: a typed view in between, templates and writers that do no arithmetic."""
