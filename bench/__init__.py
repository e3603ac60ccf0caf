"""The figures that the README quotes, each from one command; see bench/README.md."""
