"""portinf: convert, optimise, validate, package and serve trained models with Triton.

The commands are functions here, with the same steps and checks; what goes wrong is raised as a `PortinfError`, not printed. What is
named here is imported when it is first used; ``__init__.pyi`` tells type checkers the same.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# name -> module that has it
_PLACES = {
    "convert": "portinf.conversion.convert",
    "optimize": "portinf.commands.optimize",
    "validate": "portinf.commands.validate",
    "package": "portinf.commands.package",
    "serve_local": "portinf.commands.serve_local",
    "inspect": "portinf.commands.inspect",
    "ConvertOptions": "portinf.conversion.options",
    "ConvertResult": "portinf.conversion.convert",
    "SourcingOptions": "portinf.conversion.options",
    "OnnxruntimeOptions": "portinf.targets.onnxruntime.options",
    "TensorrtOptions": "portinf.targets.tensorrt.optimize",
    "FpgaOptions": "portinf.targets.fpga.options",
    "TargetResult": "portinf.targets",
    "ValidateOptions": "portinf.commands.validate",
    "Report": "portinf.validation",
    "PackageOptions": "portinf.packaging.options",
    "PackageResult": "portinf.packaging.options",
    "ServeOptions": "portinf.serving.server.launcher",
    "Server": "portinf.serving.server.launcher",
    "Inspection": "portinf.triton.inspection",
    "StreamOptions": "portinf.samples",
    "PhysicsOptions": "portinf.validation",
    "Tolerance": "portinf.validation",
    "PortinfError": "portinf.core.errors",
}
__all__ = ["__version__", *_PLACES]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'portinf' has no attribute '{name}'")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
