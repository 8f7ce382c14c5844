"""One file per framework: load, evaluation mode, permissions, signature, eager inference."""
