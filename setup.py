"""The package list: cli/ and converters/ stand at the top level and install as portinf.cli and portinf.converters."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["portinf", "portinf.*"], exclude=["portinf.cli*", "portinf.converters*"]),
        *(f"portinf.{name}" for name in find_packages(include=["cli", "cli.*", "converters", "converters.*"])),
    ],
    package_dir={"portinf": "portinf", "portinf.cli": "cli", "portinf.converters": "converters"},
    package_data={
        "portinf": ["py.typed", "*.pyi"],
        "portinf.serving": ["backends/onnxruntime/*.py"],
        "portinf.serving.engines.pytriton": ["requirements.txt"],
        "portinf.targets.fpga.triton": ["service/*.*", "service/driver/*.py"],
        "portinf.targets.tensorrt": ["accelerators.json", "operators.json", "kit/*"],
        "portinf.triton": ["releases.json"],
        "portinf.validation.reports": ["templates/*", "report.schema.json"],
    },
)
