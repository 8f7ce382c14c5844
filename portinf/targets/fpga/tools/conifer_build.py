"""Trees in fixed point -> conifer's C++ emulation of them, compiled by g++ and kept by the hash of what went into it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

from portinf.core.errors import MissingPackageError
from portinf.core.optional import missing
from portinf.fixedpoint.trees import Trees
from portinf.targets.fpga.tools.compile import compiled, compiler
from portinf.targets.fpga.tools.conifer import CPP, MODEL, PROJECT

__all__ = ["LIBRARY", "build_cpp", "folder_of", "headers"]

HEADER = "nlohmann/json.hpp"
LIBRARY = f"{CPP}/{PROJECT}.so"
SOURCE = f"{PROJECT}.cpp"
FLAGS = ("-O2", "-fPIC", "-std=c++17", "-fno-gnu-unique", "-w", "-shared")
BRIDGE = """// One row through conifer's C++ emulation; the trees are read from the file beside the library.
#include <algorithm>
#include <functional>
#include <numeric>
#include <string>
#include <vector>
#include "ap_fixed.h"
#include "conifer.h"

struct Configuration : conifer::ConiferConfiguration {{
    typedef {column} threshold_t;
    typedef {column} input_t;
    typedef ap_uint<1> weight_t;
    typedef {score} score_t;
    static constexpr bool useAddTree = false;
}};

extern "C" void {project}_double(const double *in, double *out) {{
    static const conifer::BDT<Configuration> trees("{model}");
    const std::vector<double> scores = trees._decision_function_double(std::vector<double>(in, in + {columns}));
    std::copy(scores.begin(), scores.end(), out);
}}
"""


def folder_of(package: str, inside: str) -> Path:
    """Return a folder of an installed package, which is not imported.

    Raises:
        MissingPackageError: the package is not installed.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise missing(package, "fpga")
    return Path(next(iter(found.submodule_search_locations))) / inside


def headers() -> list[str]:
    """Return the folders of conifer's, the ap_types' and, where JSON_ROOT says so, nlohmann's headers, as arguments of g++.

    Raises:
        MissingPackageError: g++, conifer, hls4ml or nlohmann's header is not installed.
    """
    places = [folder_of("conifer", "backends/cpp/include"), folder_of("hls4ml", "templates/vivado/ap_types")]
    if os.environ.get("JSON_ROOT"):
        places.append(Path(os.environ["JSON_ROOT"]))
    found = [f"-I{place}" for place in places]
    test = f'#if !__has_include("{HEADER}")\n#error\n#endif\n'
    command = [compiler(), *found, "-E", "-x", "c++", "-"]
    if subprocess.run(command, input=test, capture_output=True, text=True, check=False, timeout=60).returncode:
        raise MissingPackageError(
            f"{HEADER} is not found: conifer's C++ emulation reads its trees with it; install it (Debian: apt install "
            "nlohmann-json3-dev), or set JSON_ROOT to the folder that holds nlohmann/, or leave the emulation out with --no-csim"
        )
    return found


def build_cpp(trees: Trees, project: Path, cache: Path) -> bool:
    """Compile conifer's C++ emulation to `LIBRARY` inside a project that `portinf.targets.fpga.tools.conifer.write_conifer` wrote.

    Args:
        trees: what is computed.
        project: the folder.
        cache: folder of libraries by hash; made where it is missing.

    Returns:
        Whether it was compiled now; False where it was in the cache.

    Raises:
        MissingPackageError: the compiler or a header is missing.
        CannotError: it fails; the message holds the compiler's first error.
    """
    folder = project / CPP
    names = {"column": trees.column, "score": trees.score, "columns": trees.shape.columns}
    text = BRIDGE.format(**names, project=PROJECT, model=MODEL)
    (folder / SOURCE).write_text(text, encoding="utf-8")
    shutil.copyfile(folder_of("conifer", "backends/cpp/include/conifer.h"), folder / "conifer.h")
    command = [compiler(), *FLAGS, "-I.", *headers(), SOURCE]
    return compiled(command, folder, [folder / SOURCE, folder / "conifer.h"], project / LIBRARY, cache)
