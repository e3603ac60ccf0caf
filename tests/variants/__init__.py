"""Pipelines as people run them, with each accelerator: the table of docs/variants.md."""
