"""A source in a separate process: the process, its client, and its limits of time and memory."""
