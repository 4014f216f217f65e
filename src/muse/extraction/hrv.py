"""Heart-rate variability from raw ECG, with ECG, respiration and heart rate: `muse extract hrv`.

The columns Phys of Li et al., Exploiting Diverse Feature for Multimodal Sentiment Analysis, 2023,
section 3.1.3: 18 time-domain measures over windows of 4 s every 0.5 s, by NeuroKit2 (Makowski et
al., 2021), and the three signals at the frames. The paper names five of the 18. Of the 25 measures
of NeuroKit2 six are averages over minutes (SDANN and SDNNI of 1, 2 and 5 minutes), which 4 s do not
have. Of the other 19 TINN is left out: it is the baseline width of a histogram of the intervals,
and 4 s have three to six of them.

The R peaks are found once per recording, not in each window, where the first and last beat would be
lost. Where an ECG cannot be trusted there is no number: a frame is empty if its signal has a gap,
is flat, or fails the quality index of Orphanidou et al., Signal-quality indices for the
electrocardiogram and photoplethysmogram, IEEE Journal of Biomedical and Health Informatics 19(3),
2015, over the 10 s around it. Single measures are empty where a window has too few intervals for
them.
"""

import warnings
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from muse.config.extract import ExtractConfig, HrvConfig
from muse.data.csv_table import Table, parse_table
from muse.errors import MuseError, did_you_mean
from muse.extraction.feature_files import Extractor, Times
from muse.extraction.resample import averaged
from muse.extraction.spans import frame_middles, span
from muse.files import read_bytes
from muse.gold.smoothing import savgol

MEASURES = [
    "MeanNN", "SDNN", "RMSSD", "SDSD", "CVNN", "CVSD", "MedianNN", "MadNN", "MCVNN", "IQRNN",
    "SDRMSSD", "Prc20NN", "Prc80NN", "pNN50", "pNN20", "MinNN", "MaxNN", "HTI",
]  # fmt: skip
QUALITY_SECONDS = 10.0  # the limits of Orphanidou et al.
RATES = 40, 180  # beats per minute
LONGEST = 3.0  # seconds between two beats
UNEQUAL = 2.2  # longest interval over shortest
ALIKE = 0.66  # mean correlation of the beats with their average
SLOW = 250  # rows per second below which R peaks are coarse: 4 ms and more


def extractor(config: ExtractConfig) -> Extractor:
    """What `muse extract hrv` does; MuseError if NeuroKit2 is not installed."""
    import_neurokit()
    return Extractor(
        (".csv",),
        {"name": "neurokit2", "version": version("neurokit2")},
        {"window": config.window, **asdict(config.hrv)},
        lambda path: 60 * path.stat().st_size,
        partial(extract_hrv, config=config.hrv, window=config.window),
    )


def extract_hrv(
    path: Path, times_of: Times, config: HrvConfig, window: float
) -> tuple[np.ndarray, dict[str, np.ndarray], list[str]]:
    """The columns of a recording.

    Args:
        path: a CSV file with a column of the ECG, and timestamps in ms or a known rate.
        times_of: gets the seconds of the recording, gives the times of its frames in ms, where it
            begins with its first timestamp, or at 0.
        window: seconds that a measure is computed over, around the middle of a frame; at both ends
            of the recording the first and last whole window.

    Returns:
        Times of the frames (frames,) ms, column -> its values (frames,) with NaN where there is
        none, and warnings.

    Raises:
        MuseError: a file that cannot be read or lacks a column, a recording shorter than a window,
            NeuroKit2 is not installed.
    """
    import_neurokit()
    table = parse_table(path, read_bytes(path))
    rate, signals = _signals(path, table, config)
    begin = 0.0 if config.rate else float(table.timestamps[0])
    ecg = signals.pop("ECG")
    seconds = len(ecg) / rate
    if seconds < window:
        raise MuseError(f"{path}: {seconds:.3g} s are less than the window of {window:g} s.")
    times = times_of(seconds)
    middles, step = frame_middles(times - begin, window)
    cleaned, peaks = find_peaks(ecg, rate)
    inside = (middles >= 0) & (middles <= seconds)
    valid = inside & usable(cleaned, np.isnan(ecg), peaks, rate, middles, window)
    columns = {f"HRV_{name}": np.full(len(times), np.nan) for name in MEASURES}
    for frame in np.flatnonzero(valid):
        for name, value in measures(peaks / rate, middles[frame], window, seconds).items():
            columns[f"HRV_{name}"][frame] = value
    signals = {"ECG": ecg} | signals
    if "BPM" not in signals:
        signals["BPM"] = _heart_rate(peaks, rate, len(ecg))
    for name, signal in signals.items():
        columns[name] = np.where(inside, _at_frames(signal, rate, middles, step, config), np.nan)
    if config.bpm is None:
        columns["BPM"][~valid] = np.nan
    notes = []
    if not valid.all():
        spans = f"{(~valid).sum()} of {len(times)} frames"
        notes.append(
            f"{path}: no heart rate can be trusted in {spans} (a gap, a flat line, noise); their "
            "fields are empty."
        )
    if rate < SLOW:
        notes.append(f"{path}: {rate:g} rows per second place an R peak to {1000 / rate:.3g} ms.")
    return times, columns, notes


def import_neurokit():
    """NeuroKit2, or MuseError with how to get it."""
    try:
        import neurokit2
    except ImportError as error:
        raise MuseError(
            f"muse extract hrv needs NeuroKit2 ({error}): pip install 'muse[hrv]'"
        ) from None
    return neurokit2


def _signals(path: Path, table: Table, config: HrvConfig) -> tuple[float, dict[str, np.ndarray]]:
    """Rows per second, and ECG, RESP and BPM (rows,) each; a gap in the timestamps is NaN."""
    wanted = {"ECG": config.ecg, "RESP": config.resp, "BPM": config.bpm}
    wanted = {name: column for name, column in wanted.items() if column is not None}
    for name, column in wanted.items():
        if column not in table.columns:
            null = "" if name == "ECG" else f", or hrv.{name.lower()}=null"
            raise MuseError(
                f"{path}: no column {column}; it has {', '.join(table.columns)}. Give "
                f"hrv.{name.lower()}=COLUMN{null}.{did_you_mean(column, table.columns)}"
            )
    values = table.values[:, [table.columns.index(c) for c in wanted.values()]].astype(np.float64)
    rate, step = config.rate, 0.0
    if rate is None:
        step = float(np.median(np.diff(table.timestamps))) if len(values) > 1 else np.nan
        if not step > 0:
            raise MuseError(
                f"{path}: no column timestamp (ms) with a time in each row; how many rows are a "
                "second? For example hrv.rate=1000"
            )
        rate = 1000 / step
        rows = np.round((table.timestamps - table.timestamps[0]) / step).astype(int)
        if rows[-1] >= len(rows):  # rows are missing
            whole = np.full((rows[-1] + 1, values.shape[1]), np.nan)
            whole[rows] = values
            values = whole
    if rate < 50:
        raise MuseError(
            f"{path}: {rate:g} rows per second; an ECG needs 250 or more. Are the timestamps in ms?"
        )
    return rate, dict(zip(wanted, values.T, strict=True))


def find_peaks(ecg: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """R peaks by NeuroKit2's default methods.

    Args:
        ecg: (rows,) NaN where there is no signal.

    Returns:
        The filtered ECG (rows,) and the rows of the peaks, none where there is no signal.
    """
    neurokit = import_neurokit()
    missing = np.isnan(ecg)
    if missing.all() or np.ptp(ecg[~missing]) == 0:
        return np.zeros(len(ecg)), np.empty(0, dtype=np.int64)
    rows = np.arange(len(ecg))
    filled = np.interp(rows, rows[~missing], ecg[~missing])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its dependencies, about their own calls
        cleaned = np.asarray(neurokit.ecg_clean(filled, sampling_rate=rate))
        _, found = neurokit.ecg_peaks(cleaned, sampling_rate=rate)
    peaks = np.asarray(found["ECG_R_Peaks"], dtype=np.int64)
    return cleaned, peaks[~missing[peaks]]


def usable(
    cleaned: np.ndarray,
    missing: np.ndarray,
    peaks: np.ndarray,
    rate: float,
    middles: np.ndarray,
    window: float,
) -> np.ndarray:
    """Whether the beats around each frame can be trusted: (frames,) bool.

    Args:
        cleaned: filtered ECG (rows,). missing: (rows,) where the ECG has a gap.
        peaks: rows of the R peaks. middles: (frames,) s.
    """
    seconds = len(cleaned) / rate
    gaps = np.append(0, np.cumsum(missing))
    valid = np.zeros(len(middles), dtype=bool)
    for frame, middle in enumerate(middles):
        start, end = span(middle, window, seconds)
        if gaps[min(round(end * rate), len(missing))] > gaps[round(start * rate)]:
            continue
        start, end = span(middle, QUALITY_SECONDS, seconds)
        own = peaks[(peaks >= start * rate) & (peaks < end * rate)]
        valid[frame] = _alike(cleaned, own, rate)
    return valid


def _alike(cleaned: np.ndarray, peaks: np.ndarray, rate: float) -> bool:
    """Whether beats pass the four rules of Orphanidou et al., section III."""
    if len(peaks) < 3:
        return False
    intervals = np.diff(peaks) / rate
    # a gap of a whole beat inside the 10 s, of which the intervals beside it are not to be blamed
    if intervals.max() > LONGEST or not RATES[0] <= 60 / intervals.mean() <= RATES[1]:
        return False
    if intervals.max() / intervals.min() > UNEQUAL:
        return False
    half = round(np.median(intervals) * rate / 2)
    inside = peaks[(peaks >= half) & (peaks + half < len(cleaned))]
    if len(inside) < 2:
        return False
    beats = cleaned[inside[:, None] + np.arange(-half, half + 1)]
    average = beats.mean(axis=0)
    return float(np.mean([np.corrcoef(beat, average)[0, 1] for beat in beats])) >= ALIKE


def measures(peaks: np.ndarray, middle: float, window: float, seconds: float) -> dict[str, float]:
    """The measures of the intervals between the peaks in a window; NaN for those undefined.

    Args:
        peaks: s, rising. middle: of the window, in s. seconds: of the recording.
    """
    start, end = span(middle, window, seconds)
    own = peaks[(peaks >= start) & (peaks < end)]
    if len(own) < 2:
        return dict.fromkeys(MEASURES, np.nan)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of means over nothing: these measures are NaN
        found = import_neurokit().hrv_time({"RRI": 1000 * np.diff(own), "RRI_Time": own[1:]})
    values = found.iloc[0]
    known = {name: float(values[f"HRV_{name}"]) for name in MEASURES}
    return {name: value if np.isfinite(value) else np.nan for name, value in known.items()}


def _heart_rate(peaks: np.ndarray, rate: float, rows: int) -> np.ndarray:
    """Beats per minute from the intervals, each at its middle: (rows,); NaN without an interval."""
    if len(peaks) < 2:
        return np.full(rows, np.nan)
    return np.interp(np.arange(rows), (peaks[1:] + peaks[:-1]) / 2, 60 * rate / np.diff(peaks))


def _at_frames(
    signal: np.ndarray, rate: float, middles: np.ndarray, step: float, config: HrvConfig
) -> np.ndarray:
    """The mean of a signal over each frame, smoothed over frames; NaN where a frame has a gap."""
    at, missing = (np.arange(len(signal)) + 0.5) / rate, np.isnan(signal)
    if missing.all():
        return np.full(len(middles), np.nan)
    filled = np.interp(at, at[~missing], signal[~missing])
    values = averaged(at, filled[:, None], middles, step)[:, 0]
    over = min(config.smooth, len(values))
    if over > config.order and config.smooth > 1:
        values = savgol(values, over, config.order)
    gaps = averaged(at, missing[:, None].astype(np.float64), middles, step)[:, 0]
    values[gaps > 0.5] = np.nan
    return values
