"""What a user of the running server is given: its description, control, and code for a client."""
