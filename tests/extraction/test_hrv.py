"""Heart-rate variability of ECG whose beats are known, and none of signals that are no ECG."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from muse.config.extract import HrvConfig
from muse.errors import MuseError
from muse.extraction.hrv import MEASURES, extract_hrv

pytestmark = pytest.mark.skipif(not find_spec("neurokit2"), reason="needs muse[hrv]")

RATE = 1000
CONFIG = HrvConfig(ecg="ECG", resp="RESP", bpm=None, rate=None, smooth=5, order=3)


def ecg_of(beats: np.ndarray, seconds: float) -> np.ndarray:
    """P, QRS and T waves as Gaussians around each beat (s): (rows,) in mV."""
    t = np.arange(round(seconds * RATE)) / RATE
    waves = [(-0.18, 0.025, 0.12), (-0.03, 0.010, -0.15), (0, 0.010, 1.0),
             (0.03, 0.010, -0.25), (0.28, 0.045, 0.3)]  # fmt: skip
    ecg = np.zeros(len(t))
    for beat in beats:
        for delay, width, height in waves:
            ecg += height * np.exp(-0.5 * ((t - beat - delay) / width) ** 2)
    return ecg + 0.02 * np.sin(2 * np.pi * 0.2 * t)


def beats_of(mean: float, deviation: float, seconds: float) -> np.ndarray:
    """Beat times in s, the intervals varying with breathing and at random."""
    rng, times = np.random.default_rng(3), [0.4]
    while times[-1] < seconds:
        breath = deviation * np.sin(2 * np.pi * 0.25 * times[-1])
        times.append(times[-1] + mean + breath + rng.normal(0, deviation))
    return np.array(times[:-1])


def write_ecg(path: Path, ecg: np.ndarray, **more: np.ndarray) -> Path:
    resp = np.sin(2 * np.pi * 0.25 * np.arange(len(ecg)) / RATE)
    table = {"timestamp": np.arange(len(ecg)), "ECG": ecg.round(4), "RESP": resp.round(4), **more}
    pd.DataFrame(table).to_csv(path, index=False)
    return path


def half_seconds(seconds: float) -> np.ndarray:
    return np.arange(int(seconds / 0.5)) * 500.0


def extract(path: Path, config: HrvConfig = CONFIG):
    return extract_hrv(path, half_seconds, config, 4.0)


@pytest.mark.parametrize(("mean", "deviation"), [(0.6, 0.02), (0.8, 0.04)])
def test_measures_of_known_beats(tmp_path, mean, deviation):
    """Each measure within 5 % of what NumPy makes of the true intervals in the window."""
    beats = beats_of(mean, deviation, 40)
    times, columns, notes = extract(write_ecg(tmp_path / "1.csv", ecg_of(beats, 40)))
    assert len(times) == 80 and not notes and len(columns) == 21
    assert list(columns)[-3:] == ["ECG", "RESP", "BPM"]
    for frame, time in enumerate(times):
        start = np.clip(time / 1000 + 0.25 - 2, 0, 36)
        inside = beats[(beats > start + 0.005) & (beats < start + 3.995)]
        if np.any(np.abs(beats[:, None] - [start, start + 4]) < 0.005):
            continue  # whether a beat on the edge is inside is a matter of a millisecond
        rr = 1000 * np.diff(inside)
        expected = {
            "MeanNN": rr.mean(),
            "SDNN": rr.std(ddof=1),
            "RMSSD": np.sqrt(np.mean(np.diff(rr) ** 2)),
            "SDSD": np.diff(rr).std(ddof=1),
            "MedianNN": np.median(rr),
            "Prc80NN": np.percentile(rr, 80),
            "MinNN": rr.min(),
            "MaxNN": rr.max(),
        }
        for name, value in expected.items():
            found = columns[f"HRV_{name}"][frame]
            assert found == pytest.approx(value, rel=0.05, abs=2.0), (name, frame)
        assert columns["HRV_CVNN"][frame] == pytest.approx(
            columns["HRV_SDNN"][frame] / columns["HRV_MeanNN"][frame]
        )
    assert np.nanmean(columns["BPM"]) == pytest.approx(60 / np.diff(beats).mean(), rel=0.05)
    assert columns["RESP"][20:60].std() > 0.1  # breathing at 0.25 Hz is still there


def test_noise_and_a_flat_line_have_no_measures(tmp_path):
    rng = np.random.default_rng(0)
    for ecg in (rng.normal(size=30_000), np.zeros(30_000), np.full(30_000, 7.5)):
        _, columns, notes = extract(write_ecg(tmp_path / "1.csv", ecg))
        for name in (*(f"HRV_{m}" for m in MEASURES), "BPM"):
            assert np.isnan(columns[name]).all()
        assert notes == [
            f"{tmp_path / '1.csv'}: no heart rate can be trusted in 60 of 60 frames (a gap, a flat "
            "line, noise); their fields are empty."
        ]


@pytest.mark.parametrize("how", ["rows are missing", "fields are empty"])
def test_a_gap_has_no_measures_and_what_is_beside_it_does(tmp_path, how):
    path = write_ecg(tmp_path / "1.csv", ecg_of(beats_of(0.8, 0.03, 60), 60))
    table, gap = pd.read_csv(path), slice(29_000, 33_999)  # both ends included
    if how == "rows are missing":
        table = table.drop(table.loc[gap].index)
    else:
        table.loc[gap, "ECG"] = np.nan
    table.to_csv(path, index=False)
    times, columns, notes = extract(path)
    assert len(times) == 120 and "no heart rate can be trusted" in notes[0]
    mean = columns["HRV_MeanNN"]
    inside = (times + 250 > 27_000) & (times + 250 < 36_000)  # windows of 4 s that touch the gap
    assert np.isnan(mean[inside]).all() and np.isnan(columns["ECG"][60:67]).all()
    far = (times < 22_000) | (times > 41_000)
    assert np.isfinite(mean[far]).all() and np.isfinite(columns["BPM"][far]).all()


def test_a_slow_heart_leaves_single_measures_undefined(tmp_path):
    """At 42 beats a minute some windows have two intervals: one difference has no deviation."""
    beats = np.arange(0.7, 30, 60 / 42)
    _, columns, _ = extract(write_ecg(tmp_path / "1.csv", ecg_of(beats, 30)))
    few = np.isnan(columns["HRV_SDSD"])
    assert few.any() and np.isfinite(columns["HRV_MeanNN"][few]).all()


def test_a_heart_rate_of_the_file_is_taken(tmp_path):
    ecg = ecg_of(beats_of(0.8, 0.03, 20), 20)
    path = write_ecg(tmp_path / "1.csv", ecg, HR=np.full(len(ecg), 71.5))
    config = HrvConfig(ecg="ECG", resp=None, bpm="HR", rate=None, smooth=1, order=3)
    _, columns, _ = extract(path, config)
    assert "RESP" not in columns and columns["BPM"] == pytest.approx(71.5)


def test_mistakes(tmp_path):
    path = write_ecg(tmp_path / "1.csv", ecg_of(beats_of(0.8, 0.03, 3), 3))
    with pytest.raises(MuseError, match=r"1\.csv: 3 s are less than the window of 4 s"):
        extract(path)
    with pytest.raises(MuseError, match=r"no column ecg1; it has ECG, RESP\. Give hrv\.ecg=COLUMN"):
        extract(path, HrvConfig("ecg1", "RESP", None, None, 5, 3))
    table = pd.read_csv(path)
    table.drop(columns="timestamp").to_csv(path, index=False)
    with pytest.raises(MuseError, match=r"how many rows are a second\? For example hrv\.rate=1000"):
        extract(path)
    table["timestamp"] *= 1000
    table.to_csv(path, index=False)
    with pytest.raises(MuseError, match=r"1 rows per second; an ECG needs 250 or more"):
        extract(path)
    with pytest.raises(MuseError, match=r"hrv\.order=3: expected less than hrv\.smooth=3"):
        HrvConfig("ECG", "RESP", None, None, 3, 3)
