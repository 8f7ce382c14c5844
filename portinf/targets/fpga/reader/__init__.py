"""An ONNX file into float layers that hls4ml can build."""
