"""What samples say about a source: axes, ties, smallest sizes, and the meaning of each input."""
