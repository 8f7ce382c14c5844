"""A source into an ONNX file that was compared with it."""
