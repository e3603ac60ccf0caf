"""Applying accelerators to a pipeline, one call at a time."""
