"""Fixed-point networks in numpy, bit for bit: needs the standard library and numpy alone, and nothing else of portinf."""
