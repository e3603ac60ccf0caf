"""What every test needs."""

import torch
from hypothesis import settings

# Two threads that wait for each other beside a busy neighbour are twenty times slower than one.
torch.set_num_threads(1)
# How long an example takes says more about the neighbours than about the code.
settings.register_profile("tuner", deadline=None)
settings.load_profile("tuner")
