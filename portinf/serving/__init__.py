"""Starts a real Triton on a model repository, supervises it, and stops it without leaving anything behind."""
