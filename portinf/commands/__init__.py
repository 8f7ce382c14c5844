"""The commands: each combines sources, converters, runners and validation."""
