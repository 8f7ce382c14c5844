"""One file per framework: the routes from a loaded source to ONNX."""
