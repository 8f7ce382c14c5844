"""Reads torch's zip archives before torch does: what is checked here and what torch loads are the same bytes."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from portinf.core.errors import UnreadableError, first_line

__all__ = ["TorchArchive", "check_sums"]

DAMAGES = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError)


def check_sums(path: Path) -> None:
    """Hold the members of an archive against their checksums, which torch.load does not; files of other forms have none.

    A checksum of 0 says that torch was configured to write none.

    Raises:
        UnreadableError: the content is not what was saved.
    """
    try:
        with path.open("rb") as stream:
            if stream.read(4) != b"PK\x03\x04":
                return
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.CRC == 0:
                    continue
                with archive.open(member) as content:
                    while content.read(1 << 20):
                        pass
    except DAMAGES as error:
        raise UnreadableError(f"{path}: damaged since it was saved: {first_line(error)}") from error


class TorchArchive:
    """An archive that torch.jit.save, torch.export.save or torch.save wrote.

    Args:
        path: the file.

    Raises:
        UnreadableError: damaged, or with names that two readers could understand differently.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._opened() as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
        self._names = {name.split("/", 1)[-1]: name for name in names}
        if len({name.lower() for name in names}) < len(names) or len(self._names) < len(names):
            raise UnreadableError(f"{path}: the archive holds two members of one name: refused")
        for name in names:
            if ".." in name.split("/") or name.startswith("/") or "\\" in name:
                raise UnreadableError(f"{path}: the archive's member '{name}' points outside of it: refused")

    @property
    def members(self) -> list[str]:
        """Paths of the members below the archive's one folder."""
        return list(self._names)

    def read(self, member: str) -> bytes:
        """Return the content of a member."""
        with self._opened() as archive:
            return archive.read(self._names[member])

    @contextmanager
    def copied(self, suffix: str) -> Iterator[Path]:
        """Yield a copy with these very members, so that no other reading of a crafted file is possible."""
        with tempfile.TemporaryDirectory(prefix="portinf-archive-") as folder:
            copy = Path(folder) / f"archive{suffix}"
            with self._opened() as archive, zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as out:
                for name in self._names.values():
                    with archive.open(name) as source, out.open(name, "w", force_zip64=True) as target:
                        shutil.copyfileobj(source, target, 1 << 20)
            yield copy

    @contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                yield archive
        except DAMAGES as error:
            raise UnreadableError(f"{self.path}: a damaged or truncated archive: {first_line(error)}") from error
