"""ONNX files read, described, searched and written."""
