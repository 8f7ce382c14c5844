"""PyTorch models, TorchScript and exported programs into loaded models."""
