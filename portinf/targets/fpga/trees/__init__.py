"""Boosted trees for an FPGA: read, quantized and judged."""
