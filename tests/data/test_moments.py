"""Moments of columns: those of numpy, however the frames are divided, and read only once."""

from functools import reduce

import numpy as np
import pytest

from muse.data import moments
from muse.data.cache import load_tables
from muse.data.moments import Moments, moments_of


@pytest.fixture
def values() -> np.ndarray:
    values = np.random.default_rng(0).normal(3, 2, size=(50, 4)).astype(np.float32)
    values[::7, 1] = np.nan
    values[:, 2] = np.nan
    values[:, 3] = 1e6  # constant, far from 0
    return values


def test_merged_they_are_those_of_all_frames(values):
    parts = np.split(np.arange(50), [3, 4, 30])
    whole = reduce(Moments.merge, [moments_of(values, rows) for rows in parts])
    exact = values.astype(float)
    present = ~np.isnan(exact[:, :2])
    np.testing.assert_array_equal(whole.count, [50, present[:, 1].sum(), 0, 50])
    np.testing.assert_allclose(whole.mean[:2], np.nanmean(exact[:, :2], axis=0), rtol=1e-14)
    variance = np.nanvar(exact[:, :2], axis=0)
    np.testing.assert_allclose(whole.squares[:2] / whole.count[:2], variance, rtol=1e-13)
    assert whole.mean[2:].tolist() == [0, 1e6] and whole.squares[2:].tolist() == [0, 0]


def test_a_row_counts_as_often_as_it_is_named(values):
    rows = np.r_[np.arange(49), 0]  # as many as there are, but not the same
    mean = moments_of(values, rows).mean
    np.testing.assert_allclose(mean[0], values[rows, 0].astype(float).mean(), rtol=1e-14)
    assert mean[0] != moments_of(values, np.arange(50)).mean[0]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "1.csv"
    path.write_text("timestamp,a,b\n0,1,\n250,2,5\n500,6,7\n")
    return load_tables([path], tmp_path / "cache", 1, "a")[0]


def test_a_second_start_reads_no_feature(table, monkeypatch):
    rows = np.array([0, 2])
    first = moments_of(table.values, rows)
    assert first.mean.tolist() == [3.5, 7] and first.squares.tolist() == [12.5, 0]
    whole = moments_of(table.values, np.arange(3))  # other rows are another file
    assert whole.mean.tolist() == [3, 6] and whole.count.tolist() == [3, 2]

    def refuse(*_):
        raise AssertionError("the features were read again")

    monkeypatch.setattr(moments.np, "isnan", refuse)
    again = moments_of(table.values, rows)
    assert again.mean.tolist() == first.mean.tolist()


def test_damaged_ones_are_made_again(table):
    rows = np.arange(3)
    moments_of(table.values, rows)
    (kept,) = table.values.filename.parent.glob("*.moments_*.npy")
    for damage in (b"", kept.read_bytes()[:-8]):
        kept.write_bytes(damage)
        assert moments_of(table.values, rows).mean.tolist() == [3, 6]
    np.save(kept, np.zeros((3, 5)))
    assert moments_of(table.values, rows).mean.tolist() == [3, 6]


def test_damaged_moments_are_made_again(table):
    rows = np.arange(3)
    exact = moments_of(table.values, rows)
    (kept,) = table.path.parent.rglob("*.moments_*.npy")
    data = bytearray(kept.read_bytes())
    data[-30] ^= 1
    kept.write_bytes(data)
    again = moments_of(table.values, rows)
    np.testing.assert_array_equal(again.squares, exact.squares)
