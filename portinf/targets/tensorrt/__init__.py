"""TensorRT: what a release of it takes, at which shapes an engine is built, and the kit that builds it where the GPU is."""
