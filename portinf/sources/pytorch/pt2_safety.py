"""Reads a ``.pt2`` archive before torch does and refuses what could run code on loading or running it.

torch.export.load unpickles legacy weights and constants, evaluates the program's size expressions and guards as Python, and
resolves operator names anywhere below ``torch``: only what torch.export writes for plain tensor programs is let through.
"""

from __future__ import annotations

import ast
import io
import json
import re
from typing import Any

from portinf.core.errors import CannotError, PermissionNeededError, UnreadableError, first_line
from portinf.sources.pytorch.archive import TorchArchive

__all__ = ["vet"]

NAME = re.compile(r"[\w.@\-+ ]*", re.ASCII)
HIGHER = "cond|while_loop|scan|map_impl|associative_scan|wrap_with_set_grad_enabled|wrap_with_autocast|out_dtype"
PYTHON = (
    "getitem|add|sub|mul|floordiv|truediv|mod|neg|pos|pow|abs|eq|ne|lt|le|gt|ge|and_|or_|xor|not_|invert|lshift|rshift|index"
)
TARGET = re.compile(
    r"torch\.ops\.(?:aten|prims|prim|quantized_decomposed)\.(?!(?:save|load|from_file)\b)\w+(?:\.\w+)?"
    rf"|torch\.ops\.higher_order\.(?:{HIGHER})|_operator\.(?:{PYTHON})|math\.\w+|torch\.(?:sym_\w+|_sym_\w+|_check\w*)",
    re.ASCII,
)
CALLS = re.compile(
    "FloorDiv|ModularIndexing|Where|PythonMod|Mod|CleanDiv|CeilToInt|FloorToInt|CeilDiv|LShift|RShift|PowByNatural|FloatPow|"
    "FloatTrueDiv|IntTrueDiv|IsNonOverlappingAndDenseIndicator|TruncToFloat|TruncToInt|RoundToInt|RoundDecimal|ToFloat|Identity|"
    "Mul|Add|Pow|Equality|Unequality|LessThan|GreaterThan|StrictLessThan|StrictGreaterThan|"
    "Max|Min|Abs|Eq|Ne|Lt|Le|Gt|Ge|And|Or|Not|Integer|Float|Rational|floor|ceiling"
)
METHODS = frozenset(("size", "stride", "storage_offset", "numel", "dim"))
NODES = (
    ast.Expression,
    ast.BinOp,
    ast.UnaryOp,
    ast.BoolOp,
    ast.Compare,
    ast.Name,
    ast.Load,
    ast.Constant,
    ast.operator,
    ast.unaryop,
    ast.boolop,
    ast.cmpop,
)
CONTAINERS = ("builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict", "collections.namedtuple", None)
FREE = ("metadata", "as_string", "as_strings")  # text that is carried along and never evaluated


def vet(torch: Any, archive: TorchArchive) -> None:
    """Go through an archive with a list of what is allowed.

    Args:
        torch: the module.
        archive: a ``.pt2`` file.

    Raises:
        PermissionNeededError: something else is in it; the message names it and the option.
        CannotError: it holds compiled code.
        UnreadableError: its JSON is damaged.
    """
    for member in archive.members:
        if member.startswith("data/aotinductor/"):
            raise CannotError(
                f"{archive.path}: holds compiled code (AOTInductor) in place of a program: export it with torch.export.save"
            )
        if member.endswith(".json") and not member.startswith("extra"):
            found = _json(archive, member)
        elif member.endswith(".pt"):
            found = _pickle(torch, archive.read(member))
        else:
            found = None
        if found:
            raise PermissionNeededError(
                f"{archive.path}: {found} ({member}): loading could run code from the file; "
                "allow it with --allow-pickle if you trust it"
            )


def _pickle(torch: Any, content: bytes) -> str | None:
    if not content:
        return None
    try:
        torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except Exception as error:  # noqa: BLE001 (whatever stops the safe loader is a reason to refuse)
        return f"holds pickled objects besides tensors ({first_line(error)[:80]})"
    return None


def _json(archive: TorchArchive, member: str) -> str | None:
    content = archive.read(member)
    if member.endswith((".pt", ".json")) and member.startswith("serialized_") and not content.lstrip().startswith(b"{"):
        return "holds a pickle under the name of a JSON file"
    try:
        return _bad(json.loads(content), "")
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"{archive.path}: its member '{member}' is damaged: {first_line(error)}") from error


def _bad(value: Any, key: str) -> str | None:
    """Return what is not allowed below ``value``, or None."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if not NAME.fullmatch(name) and not _is_expression(name):
                return f"the name {name[:60]!r}"
            if name == "use_pickle" and inner is not False:
                return "pickled tensors or objects"
            found = None if name in FREE else _bad(inner, name)
            if found:
                return found
        return None
    if isinstance(value, list):
        return next((found for item in value if (found := _bad(item, key))), None)
    return _bad_text(value, key) if isinstance(value, str) else None


def _bad_text(text: str, key: str) -> str | None:
    if key in ("target", "as_operator"):
        return None if TARGET.fullmatch(text) else f"the operator {text[:60]!r}"
    if key in ("expr_str", "guards_code"):
        return None if _is_expression(text) else f"the expression {text[:60]!r}"
    if key in ("in_spec", "out_spec"):
        return None if not text or _is_tree(text) else f"the structure {text[:60]!r}"
    if key == "path_name" and text.startswith(("custom_obj", "opaque_obj")):
        return "custom objects"
    return None if NAME.fullmatch(text) else f"the text {text[:60]!r} at {key!r}"


def _is_expression(text: str) -> bool:
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return len(text) < 5000 and _is_arithmetic(tree)


def _is_arithmetic(node: ast.AST) -> bool:
    """Numbers, names, operators, known functions of them, and ``L['x'].size()[0]``."""
    if _is_symbol(node):
        return True
    if isinstance(node, ast.Call):
        known = isinstance(node.func, ast.Name) and CALLS.fullmatch(node.func.id) is not None
        return not node.keywords and (
            (known and all(map(_is_arithmetic, node.args))) or (_is_method(node.func) and len(node.args) == 0)
        )
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Constant) and _is_arithmetic(node.value)
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float)
    if isinstance(node, ast.Name):
        return "__" not in node.id
    return isinstance(node, NODES) and all(map(_is_arithmetic, ast.iter_child_nodes(node)))


def _is_symbol(node: ast.AST) -> bool:
    """``Symbol('s77', positive=True, integer=True)``, as torch writes the size of a dynamic axis; ``Float('0.5', precision=53)``."""
    if not (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("Symbol", "Float")
        and len(node.args) == 1
    ):
        return False
    name, values = node.args[0], [keyword.value for keyword in node.keywords]
    plain = isinstance(name, ast.Constant) and isinstance(name.value, str) and NAME.fullmatch(name.value) is not None
    return plain and all(isinstance(value, ast.Constant) and isinstance(value.value, int) for value in values)


def _is_method(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in METHODS and _is_arithmetic(node.value)


def _is_tree(text: str) -> bool:
    """Whether a structure is made of tuples, lists and dicts (named tuples are looked up among known ones)."""
    try:
        waiting = [json.loads(text)[1]]
        while waiting:
            node = waiting.pop()
            if node["type"] not in CONTAINERS or "__enum__" in str(node["context"]):
                return False
            waiting.extend(node["children_spec"])
    except (ValueError, KeyError, TypeError, IndexError):
        return False
    return True
