"""Sessions of ONNX Runtime: plain, in a process of their own, and with inner tensors."""
