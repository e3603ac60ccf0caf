"""What a setting computes, step by step and layer by layer."""
