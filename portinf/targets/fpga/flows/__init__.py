"""The folder for an FPGA, written in one way for each kind of model."""
