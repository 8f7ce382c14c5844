"""Rewritings of an ONNX graph that a converted file needs to be right, one module each."""
