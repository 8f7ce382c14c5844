"""Passes that correct a converted ONNX graph, one module each."""
