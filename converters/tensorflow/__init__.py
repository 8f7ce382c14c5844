"""Loaded Keras and TensorFlow models into routes to ONNX by tf2onnx, with conversions of its own for some operators."""
