"""The server's process: start, what it may run and see, messages, ports, and its end."""
