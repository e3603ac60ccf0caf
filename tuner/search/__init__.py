"""Many trials: space, goal, samplers and the runner. Knows nothing of how a picture is made."""
