"""How soon samplers find the best feasible setting, and what a search costs."""
