"""Proposals of faster ONNX files for ONNX Runtime on a CPU, judged and timed."""
