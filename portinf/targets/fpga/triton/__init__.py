"""A folder for an FPGA into a version that Triton serves."""
