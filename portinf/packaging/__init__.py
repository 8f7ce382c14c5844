"""An ONNX file into one version in a Triton model repository, tried before it is written."""
