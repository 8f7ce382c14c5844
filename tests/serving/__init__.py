"""Tests of the local server that start none, and the tiny models that the live tests serve."""
