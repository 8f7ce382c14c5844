"""Triton model repositories: typed configuration, releases, writing."""
