"""portinf: from a trained model to a checked answer from a real Triton."""

__version__ = "0.1.0"
__all__ = ["__version__"]
