"""The signals of a synthetic package: emotions, ratings, classes and features, without any file.

One kind of process, `wander`, stands for all that changes slowly: what a person feels, what each
modality shows instead of it, what raters add, and what else moves the features. Every array
depends on the seed and on names only (task, recording, feature set), never on what else is
written. Simulated, not modelled on recordings: good for trying a pipeline out, not for findings.
"""

import zlib

import numpy as np

from muse.config.shared import FeatureSet, TaskConfig

SHARED = 0.3  # correlation of any two targets of a person
LAG = (1.0, 2.0)  # seconds by which ratings follow the emotion
RATED = 0.6  # share of the emotion in a rating's variance within each recording
SPREAD = 0.35  # standard deviation of ratings before they are clipped to [-1, 1]
OWN = 0.15  # share of a feature set's error that other sets of its modality do not make
NUISANCES = 5  # slow processes that move features and have nothing to do with emotion
GAINS = {  # modality -> target -> correlation of what it shows with the emotion
    "audio": {"arousal": 0.8, "valence": 0.6, "anno12_EDA": 0.75},
    "video": {"arousal": 0.6, "valence": 0.8, "anno12_EDA": 0.5},
    "text": {"arousal": 0.55, "valence": 0.8, "anno12_EDA": 0.4},
    "bio": {"arousal": 0.5, "valence": 0.4, "anno12_EDA": 0.7},
}
GAIN = 0.6  # of any other modality or target


def stream(seed: int, *names: str) -> np.random.Generator:
    """The generator of random numbers that belongs to a seed and names, on any machine."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


def wander(rng: np.random.Generator, frames: int, step: float) -> np.ndarray:
    """A slow process around an offset of its own, (frames,); unit variance over many draws.

    White noise smoothed by t * exp(-t / tau), tau between 6 and 14 s (nine tenths of the
    variance), plus a constant (the rest). ``step``: seconds per frame.
    """
    tau = rng.uniform(6, 14) / step
    lags = np.arange(1, int(7 * tau) + 2)
    kernel = lags * np.exp(-lags / tau)
    kernel /= np.sqrt(np.sum(kernel**2))
    slow = np.convolve(rng.standard_normal(frames + len(kernel) - 1), kernel, mode="valid")
    return np.sqrt(0.1) * rng.standard_normal() + np.sqrt(0.9) * slow


def stretches(
    rng: np.random.Generator, frames: int, step: float, share: float, seconds: float
) -> np.ndarray:
    """Stretches of ``seconds`` on average, about ``share`` of all frames: (frames,) bool."""
    lengths = rng.exponential(1.0, (int(frames * step / seconds) + 2, 2))
    lengths *= np.array([seconds * (1 / share - 1), seconds]) / step  # outside, inside
    edges = np.cumsum(np.maximum(1, np.rint(lengths)).ravel())
    return np.searchsorted(edges, np.arange(frames), side="right") % 2 == 1


def emotions(task: TaskConfig, name: str, frames: int, seed: int) -> np.ndarray:
    """What the person of recording ``name`` feels, before any rater or sensor.

    (frames, targets) float64, unit variance over many recordings.
    """
    common = wander(stream(seed, task.name, name, "person"), frames, task.step)
    own = [
        wander(stream(seed, task.name, name, "emotion", target), frames, task.step)
        for target in task.targets
    ]
    return np.sqrt(SHARED) * common[:, None] + np.sqrt(1 - SHARED) * np.stack(own, 1)


def rating_lag(task: TaskConfig, name: str, seed: int) -> int:
    """By how many frames the ratings of recording ``name`` follow the emotion."""
    return round(stream(seed, task.name, name, "lag").uniform(*LAG) / task.step)


def ratings(task: TaskConfig, name: str, frames: int, seed: int) -> np.ndarray:
    """The gold standard of a recording: late emotion and rater noise; (frames, targets) in [-1, 1].

    The noise is without mean and uncorrelated with the late emotion, exactly. Within a recording
    even a model that knows the emotion has a CCC of at most the root of RATED, .77 (before
    clipping); over a partition, where the recordings' means help, it stays below .9.
    """
    felt = emotions(task, name, frames, seed)
    rated = felt[np.maximum(np.arange(frames) - rating_lag(task, name, seed), 0)]
    for i, target in enumerate(task.targets):
        rng = stream(seed, task.name, name, "raters", target)
        noise = _beside(rated[:, i], wander(rng, frames, task.step))
        rated[:, i] = np.sqrt(RATED) * rated[:, i] + np.sqrt(1 - RATED) * noise
    return np.clip(SPREAD * rated, -1, 1)


def _beside(signal: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Noise without mean, uncorrelated with the signal and of its variance, exactly. (frames,)"""
    signal, noise = signal - signal.mean(), noise - noise.mean()
    noise -= signal * np.sum(noise * signal) / np.sum(signal**2)
    return noise * np.sqrt(np.sum(signal**2) / np.sum(noise**2))


def segment_classes(
    moments: np.ndarray, train: np.ndarray, shares: list[float], rng: np.random.Generator
) -> np.ndarray:
    """A class for every segment by the mean and the variability of its rating: (segments,) int.

    One class holds the most variable segments, the others divide the rest by their mean; which
    is which is drawn, so that class numbers have no order (as in MuSe-Sent). Thresholds are
    quantiles of the training segments.

    Args:
        moments: (segments, 2), mean and standard deviation of the rating.
        train: (segments,) bool, the training segments.
        shares: share of each class among them.
    """
    mean, variability = moments.T
    order = rng.permutation(len(shares))
    sizes = np.asarray(shares)[order] / np.sum(shares)
    lively = variability > np.quantile(variability[train], 1 - sizes[0])
    calm = mean[train & ~lively]
    edges = np.quantile(calm, np.cumsum(sizes[1:-1]) / sizes[1:].sum())
    return np.where(lively, order[0], order[1:][np.searchsorted(edges, mean)])


def _shown(
    task: TaskConfig, name: str, frames: int, feature_set: str, modality: str, seed: int
) -> np.ndarray:
    """What a feature set can know of each target: the emotion and slow errors. (frames, targets)"""
    shown = emotions(task, name, frames, seed)
    for i, target in enumerate(task.targets):
        gain = GAINS.get(modality, {}).get(target, GAIN)
        rngs = [stream(seed, task.name, name, key, target) for key in (modality, feature_set)]
        alike, own = (wander(rng, frames, task.step) for rng in rngs)
        error = np.sqrt(1 - OWN) * alike + np.sqrt(OWN) * own
        shown[:, i] = gain * shown[:, i] + np.sqrt(1 - gain**2) * error
    return shown


def _columns(task: TaskConfig, name: str, width: int, spread: float, seed: int) -> dict:
    """The weights, noise, mean and scale of each column: the same in every recording."""
    rng = stream(seed, name, "columns")
    columns = {
        "nuisance": rng.standard_normal((NUISANCES, width)) / np.sqrt(NUISANCES),
        "bias": 0.3 * rng.standard_normal(width),
        "noise": rng.uniform(0.3, 0.9, width),
        "scale": np.exp(spread * rng.standard_normal(width)),
        "mean": spread * np.exp(spread * rng.standard_normal(width)),
    }
    weights = []
    for target in task.targets:
        rng = stream(seed, name, "columns", target)
        signs, carries = rng.choice([-1, 1], width), rng.random(width) < 0.6
        carries[0] = True
        weights.append(signs * carries * rng.uniform(0.5, 1.2, width))
    return columns | {"emotion": np.stack(weights)}  # (targets, width)


def _words(task: TaskConfig, name: str, frames: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """First frame of the word spoken at each frame, and whether it is a pause instead."""
    rng = stream(seed, task.name, name, "words")
    lengths = np.maximum(1, np.rint(rng.uniform(0.25, 1.5, frames) / task.step)).astype(int)
    starts = np.cumsum(lengths) - lengths
    word = np.searchsorted(starts, np.arange(frames), side="right") - 1
    return starts[word], (rng.random(frames) < 0.2)[word]


def own_rows(
    task: TaskConfig, name: str, set_name: str, known: FeatureSet, values: np.ndarray, seed: int
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """A feature set at its own time steps: words of a text, else rows every ``known.step`` seconds.

    Both go by the frame next to them, so that alignment leads back to ``values``, but for noise
    between the rows of a frame. Other sets keep their frames.

    Args:
        values: (frames, columns) of the recording, see `feature_frames`.

    Returns:
        name -> (rows,) times in ms, frame of each row (rows,), and its values (rows, columns).
    """
    frames, step = len(values), 1000 * task.step
    if known.modality == "text":
        word, _ = _words(task, name, frames, seed)
        spoken = values.any(axis=1)
        starts = spoken & (np.diff(word, prepend=-1) != 0)
        starts |= spoken & ~np.append(False, spoken[:-1])  # after silence within it
        stops = np.append(starts[1:] | ~spoken[1:], True) & spoken
        rows, last = np.flatnonzero(starts), np.flatnonzero(stops)
        times = {"start": np.maximum(0, (rows - 0.5) * step), "end": (last + 0.5) * step}
        return times, rows, values[rows]
    times = np.arange(round(frames * task.step / (known.step or task.step)))
    times = np.rint(times * 1000 * (known.step or task.step))
    rows = np.minimum(np.rint(times / step).astype(int), frames - 1)
    if known.step is None:
        return {"timestamp": times}, rows, values
    noise = stream(seed, task.name, name, "rows", set_name).standard_normal((len(rows), 1))
    return {"timestamp": times}, rows, values[rows] + noise * values.std(axis=0)


def feature_frames(
    task: TaskConfig, name: str, frames: int, set_name: str, known: FeatureSet, seed: int
) -> np.ndarray:
    """One feature set of one recording: (frames, columns) float64.

    Every column is a tanh of the emotions (as far as its modality shows them) and of nuisances,
    plus an offset of the person and noise of each frame. Columns of a set that is standardised
    as published differ much in mean and scale; video and wide sets are rectified, as the
    activations of a network are. Frames without a face (video) and pauses (text) are all zeros,
    words hold for as long as they last, silence (audio) is one constant row.

    Args:
        task: gives targets, corpus and frame step.
        name: recording id.
        frames: length of the recording.
        set_name: the feature set's folder; ``known``: its metadata.
        seed: that of the package.
    """
    width = known.dimension[task.corpus]
    columns = _columns(task, set_name, width, 1.5 if known.standardise else 0.3, seed)
    shown = _shown(task, name, frames, set_name, known.modality, seed)
    rng = stream(seed, task.name, name, "features", set_name)
    nuisance = np.stack([wander(rng, frames, task.step) for _ in range(NUISANCES)], 1)
    x = np.einsum("tk,kd->td", shown, columns["emotion"])  # einsum: the same sum on any core count
    x += np.einsum("tk,kd->td", nuisance, columns["nuisance"])
    x = np.tanh(x + columns["bias"]) + 0.3 * rng.standard_normal(width)  # (frames, dim)
    x += columns["noise"] * rng.standard_normal(x.shape)
    x = columns["mean"] + columns["scale"] * x
    if known.modality == "video" or width >= 1000:
        x = np.maximum(x, 0.0)
    silent = stretches(stream(seed, task.name, name, "silence"), frames, task.step, 0.05, 3.0)
    if known.modality == "audio":
        x[silent] = np.maximum(0.0, columns["mean"] - 2 * columns["scale"])
    elif known.modality == "video":
        x[stretches(stream(seed, task.name, name, "face"), frames, task.step, 0.08, 4.0)] = 0.0
    elif known.modality == "text":
        start, pause = _words(task, name, frames, seed)
        x = x[start]
        x[pause | silent] = 0.0
    return x


def waveform(
    task: TaskConfig, name: str, frames: int, set_name: str, rate: int, seed: int
) -> np.ndarray:
    """The sound of one recording, (samples,) int16: a tone for each target, and some noise.

    The tones divide the frequencies up to half the rate; each is as loud as the audio modality
    shows its target. Silence is that of the feature sets.

    Args:
        task, name, frames, set_name, seed: see `feature_frames`.
        rate: samples per second.
    """
    shown = _shown(task, name, frames, set_name, "audio", seed)
    loud = (1 + np.tanh(shown)) / (2 * len(task.targets))
    loud[stretches(stream(seed, task.name, name, "silence"), frames, task.step, 0.05, 3.0)] = 0
    at = np.arange(round(frames * task.step * rate)) / rate  # seconds
    middle = (np.arange(frames) + 0.5) * task.step
    sound = 0.01 * stream(seed, task.name, name, "features", set_name).standard_normal(len(at))
    for k in range(len(task.targets)):
        frequency = rate / 2 * (k + 1) / (len(task.targets) + 1)
        sound += 0.9 * np.interp(at, middle, loud[:, k]) * np.sin(2 * np.pi * frequency * at)
    return np.rint(np.clip(sound, -1, 1) * (2**15 - 1)).astype(np.int16)
