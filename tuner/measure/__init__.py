"""One trial: apply a setting, generate, time, score. Knows nothing of studies."""
