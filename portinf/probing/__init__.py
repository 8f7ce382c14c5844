"""A source and its ONNX file, asked outside the samples' range -> where the file says something else."""
