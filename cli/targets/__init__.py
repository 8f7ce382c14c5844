"""The options of `portinf optimize`, one module per target."""
