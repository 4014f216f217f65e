"""DTW barycentre averaging is an extra."""

import sys

import numpy as np
import pytest

from muse.errors import MuseError
from muse.gold.averaging import barycentre


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "dtaidistance.dtw_barycenter", None)
    with pytest.raises(MuseError, match=r"pip install 'muse\[dba\]'"):
        barycentre(np.zeros((2, 5)), 2)


def test_a_peak_that_comes_at_different_times_stays_a_peak():
    pytest.importorskip("dtaidistance")
    time = np.arange(60.0)
    peaks = np.stack([np.exp(-(((time - at) / 3) ** 2)) for at in (25, 30, 35)])
    fused = barycentre(peaks, 12)
    assert fused.shape == (60,) and 25 <= fused.argmax() <= 35
    assert peaks.mean(0).max() < 0.6 and fused.max() > 0.75
