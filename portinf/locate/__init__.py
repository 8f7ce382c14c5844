"""The text that names a model on the command line into something that answers."""
