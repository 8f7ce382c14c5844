"""A comparison's results as text, JSON, Markdown and HTML."""
