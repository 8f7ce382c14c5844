"""The server of the nvidia-pytriton package: its environment, a canary request, and the command that starts it."""
