"""Where the windows of frames lie in a recording: the same for every extractor."""

import numpy as np


def frame_middles(times: np.ndarray, alone: float) -> tuple[np.ndarray, float]:
    """The middles of frames in seconds, and the seconds from frame to frame.

    Args:
        times: (frames,) ms from the start of the recording, each the start of a frame.
        alone: seconds of a frame that is the only one.
    """
    step = float(np.median(np.diff(times))) / 1000 if len(times) > 1 else alone
    return times / 1000 + step / 2, step


def span(
    middle: float | np.ndarray, window: float, seconds: float
) -> tuple[float | np.ndarray, float | np.ndarray]:
    """Start and end of the window around ``middle``, all in seconds.

    At both ends of the recording it is the first and last whole window; a recording that is shorter
    than the window is one window.
    """
    start = np.clip(middle - window / 2, 0.0, max(0.0, seconds - window))
    return start, np.minimum(start + window, seconds)


def sample_spans(
    times: np.ndarray, window: float, samples: int, rate: int
) -> tuple[np.ndarray, int, np.ndarray]:
    """The windows of frames in samples.

    Args:
        times: (frames,) ms from the start of the recording.
        window: seconds.
        samples: of the recording, ``rate`` per second.

    Returns:
        First sample of each window (frames,) int64; samples of a window, the same for all; whether
        the middle of a frame lies in the recording (frames,) bool.
    """
    middles, _ = frame_middles(times, min(window, samples / rate))
    length = min(round(window * rate), samples)
    starts, _ = span(middles, window, samples / rate)
    first = np.minimum(np.round(starts * rate).astype(np.int64), samples - length)
    return first, length, (middles >= 0) & (middles <= samples / rate)
