"""Two models that differ -> the first node where they do."""
