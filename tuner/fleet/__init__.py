"""Many workers on the same studies: what each of them does, and how Dask places them."""
