"""`search_params.json`: written, read, applied to a pipeline, and verified."""
