"""`search_params.json`: writing, reading and verifying it, and applying it to a pipeline."""
