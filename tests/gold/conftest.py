"""Raters' files of one's own making."""

from pathlib import Path

import numpy as np
import pytest

RAAW = Path(__file__).parents[3] / "shared" / "data" / "raaw"


@pytest.fixture
def raaw() -> Path:
    """Real ratings of three recordings by three raters, and the published gold standard."""
    if not RAAW.is_dir():
        pytest.skip("needs the real data in ../shared/data/raaw")
    return RAAW


def write_raters(path: Path, times, columns: dict[str, object]) -> Path:
    """Write a file of raters; NaN becomes an empty field."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [",".join(["timestamp", *columns])]
    for k, time in enumerate(times):
        values = [column[k] for column in columns.values()]
        fields = ["" if isinstance(v, float) and np.isnan(v) else str(v) for v in values]
        rows.append(",".join([f"{time:g}", *fields]))
    path.write_text("\n".join(rows) + "\n")
    return path
