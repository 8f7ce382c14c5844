"""Names the shared-memory regions of one server by a prefix of its own, and removes what is left of them."""

from __future__ import annotations

import secrets
from pathlib import Path

__all__ = ["MOUNT", "new_prefix", "regions", "remove_regions"]

MOUNT = Path("/dev/shm")
_PREFIX = "portinf_"


def new_prefix() -> str:
    """Return a prefix that no other server has; letters, digits and underscores only, as Triton asks."""
    return f"{_PREFIX}{secrets.token_hex(6)}_"


def regions(prefix: str, mount: Path = MOUNT) -> list[Path]:
    """Return the regions of the server with this prefix, sorted by name."""
    if not prefix.startswith(_PREFIX) or prefix == _PREFIX:
        raise ValueError(f"'{prefix}' is no prefix of a portinf server")
    return sorted(mount.glob(f"{prefix}*")) if mount.is_dir() else []


def remove_regions(prefix: str, mount: Path = MOUNT) -> int:
    """Remove the regions of the server with this prefix, and return how many there were."""
    found = regions(prefix, mount)
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)
