"""Runnable examples: one folder per system of the field, and the demonstration that runs them all."""
