"""Sweeps: going through every point of a product of knob values."""
