"""What this machine has for a search, and what is missing: `tuner doctor`."""
