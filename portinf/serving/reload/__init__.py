"""Changed model folders into loads of the running server."""
