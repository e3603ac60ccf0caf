"""Many studies and many workers: what is left, who does what, and how Dask places workers."""
