"""Whether a source's answers or parameters are random, and where in the user's code."""
