"""How diffusers pipelines run: their denoiser, their calls and steps, and what may be patched."""
