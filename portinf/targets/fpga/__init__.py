"""An ONNX file into a fixed-point project for an FPGA, and what answers as the hardware would."""
