"""Many trials: space, sampler, goal and the loop. Knows nothing of how a picture is made."""
