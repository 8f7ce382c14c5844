"""An ONNX file into a fixed-point project for an FPGA, and runners that compute what the hardware does."""
