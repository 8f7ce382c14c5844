"""A source and its ONNX file, compared outside the samples' range -> where the file differs."""
