"""A study's baseline and trials: what is stored of them, and how it is read."""
