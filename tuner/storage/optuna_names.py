"""System attributes: those that Optuna itself reads and writes, and how ours begin."""

CONSTRAINTS = "constraints"  # its samplers and its dashboard read them
FIXED = "fixed_params"  # the numbers that it gives a queued trial
POINT = "grid_id"  # the number of a point, where its GridSampler stores it; sweeps do too
ARTIFACTS = "artifacts:"  # … and an artifact's id: what optuna.artifacts knows of the artifact
OURS = "tuner:"
