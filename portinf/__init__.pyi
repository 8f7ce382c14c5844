# What __init__.py imports when it is first used.
from portinf.commands.inspect import inspect as inspect
from portinf.commands.optimize import optimize as optimize
from portinf.commands.package import package as package
from portinf.commands.serve_local import serve_local as serve_local
from portinf.commands.validate import ValidateOptions as ValidateOptions
from portinf.commands.validate import validate as validate
from portinf.conversion.convert import ConvertResult as ConvertResult
from portinf.conversion.convert import convert as convert
from portinf.conversion.options import ConvertOptions as ConvertOptions
from portinf.conversion.options import SourcingOptions as SourcingOptions
from portinf.core.errors import PortinfError as PortinfError
from portinf.packaging.options import PackageOptions as PackageOptions
from portinf.packaging.options import PackageResult as PackageResult
from portinf.samples import StreamOptions as StreamOptions
from portinf.serving.server.launcher import ServeOptions as ServeOptions
from portinf.serving.server.launcher import Server as Server
from portinf.targets import TargetResult as TargetResult
from portinf.targets.fpga.options import FpgaOptions as FpgaOptions
from portinf.targets.onnxruntime.options import OnnxruntimeOptions as OnnxruntimeOptions
from portinf.targets.tensorrt.optimize import TensorrtOptions as TensorrtOptions
from portinf.triton.inspection import Inspection as Inspection
from portinf.validation import PhysicsOptions as PhysicsOptions
from portinf.validation import Report as Report
from portinf.validation import Tolerance as Tolerance

__version__: str
