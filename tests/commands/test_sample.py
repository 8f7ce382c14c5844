"""portinf sample: inputs that fit, from an ONNX file, a packaged model or a source."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.conftest import KERAS_MODELS, Cli


def test_sample_fits_what_it_was_made_for(cli: Cli, keras_files: Path, tmp_path: Path) -> None:
    assert cli("package", keras_files / "two_and_two.keras", "--repository", "models").code == 0
    for source in ("models/two_and_two", "models/two_and_two/1/model.onnx", keras_files / "two_and_two.keras"):
        done = cli("sample", source, "--size", "batch=6", "--size", "tracks_1=9", "-o", "s.npz", "--json")
        assert done.code == 0, done.err
        assert done.report["shapes"] == {"tracks": [6, 9, 3], "event": [6, 2]}
        with np.load(tmp_path / "s.npz") as arrays:
            assert arrays["tracks"].dtype == np.float32
        assert cli("validate", "models/two_and_two/1/model.onnx", "models/two_and_two", "--inputs", "s.npz").code == 0


def test_unknown_axes_and_small_sizes_are_named(cli: Cli) -> None:
    done = cli("sample", f"{KERAS_MODELS}:sequential", "--size", "jets=3", "-o", "s.npz")
    assert done.code == 2
    assert "no axis 'jets'; there are: hits_0" in done.message
    assert cli("sample", f"{KERAS_MODELS}:sequential", "--size", "hits_0", "-o", "s.npz").code == 2
