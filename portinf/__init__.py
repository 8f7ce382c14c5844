"""portinf: convert, optimise, validate, package and serve trained models with Triton."""

__version__ = "0.1.0"
__all__ = ["__version__"]
