"""Two sides that part -> the first node at which they do."""
