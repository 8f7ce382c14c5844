"""The package list: cli/ and converters/ stand at the top level and install as portinf.cli and portinf.converters."""

from setuptools import setup

setup(
    packages=[
        "portinf",
        "portinf.bisection",
        "portinf.cli",
        "portinf.converters",
        "portinf.lowering",
        "portinf.fixedpoint",
        "portinf.probing",
        "portinf.rewriting",
        "portinf.runners",
        "portinf.serving",
        "portinf.sources",
        "portinf.sources.state",
        "portinf.streams",
        "portinf.targets",
        "portinf.targets.tensorrt",
        "portinf.triton",
        "portinf.validation",
        "portinf.workflow",
    ],
    package_dir={"portinf": "portinf", "portinf.cli": "cli", "portinf.converters": "converters"},
    package_data={
        "portinf": ["py.typed"],
        "portinf.serving": ["requirements.txt", "backends/onnxruntime/*.py"],
        "portinf.targets.tensorrt": ["operators.json", "kit/*"],
        "portinf.triton": ["accelerators.json", "releases.json", "fpga_service/*.*", "fpga_service/driver/*.py"],
        "portinf.validation": ["templates/*", "report.schema.json"],
    },
)
