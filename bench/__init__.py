"""The figures that the README quotes, each from one command; see README.md beside this file."""
