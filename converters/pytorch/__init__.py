"""Loaded PyTorch models into routes to ONNX: torch's two exporters, their operators, and what they assumed."""
