"""A float network into fixed-point formats: chosen, searched, and judged layer by layer."""
