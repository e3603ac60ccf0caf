"""One trial: apply a setting, generate, time, score. Independent of studies."""
