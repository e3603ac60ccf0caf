"""Our own sampler: predicts speed, learns quality, proposes the most promising setting."""
