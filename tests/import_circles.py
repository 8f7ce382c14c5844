"""``python -m tests.import_circles``: no file of portinf may import another that imports it, in however many steps."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import grimp


def find_circle() -> list[str]:
    """Return the modules of one circle, the first one again at the end; empty where there is none."""
    graph = grimp.build_graph("portinf")
    order = TopologicalSorter({name: graph.find_modules_directly_imported_by(name) for name in graph.modules})
    try:
        order.prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


if __name__ == "__main__":
    circle = find_circle()
    raise SystemExit(f"import circle: {' <- '.join(circle)}" if circle else 0)
