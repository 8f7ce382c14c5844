"""The verbs: each combines sources, converters, runners and validation into one readable page."""
