"""What every test needs."""

import torch

# Two threads that wait for each other beside a busy neighbour are twenty times slower than one.
torch.set_num_threads(1)
