"""Our own sampler: predicts speed, models quality, proposes the most promising setting."""
