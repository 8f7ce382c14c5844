"""From the text that names a model on the command line to a model that can be run."""
