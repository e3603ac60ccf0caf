"""Score losses of settings, and whether the intervals of score losses are right."""
