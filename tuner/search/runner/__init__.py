"""Running a study's trials: ask the sampler, measure, stop, verify, record."""
