"""The C++ that hls4ml wrote, read back and compared with the network that it was written from."""
