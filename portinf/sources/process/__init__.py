"""A source in a process of its own: the process, the side that asks it, and its limits of time and memory."""
