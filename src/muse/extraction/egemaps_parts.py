"""The parts of eGeMAPS that openSMILE computes: descriptors, and functionals of contours.

`descriptors` is openSMILE's own configuration of eGeMAPSv02 as far as the functionals. The others
are single components of it with the same settings, fed with a pitch that is not that of the file.
"""

import numpy as np

from muse.extraction.opensmile_run import HOP, component, growing, run, shipped, table_source

FRAME = 6 * HOP  # samples of the frames of pitch, jitter and harmonics: 60 ms
PATCH_FRAMES = 30_000  # of clips that go through at once: 5 minutes
LEVELS = {
    "candidates": "gemapsv01b_pitchShsG60",
    "energy60": "gemapsv01b_e60",
    "pitch": "gemapsv01b_logPitch",
    "jitter": "gemapsv01b_jitterShimmer",
    "harmonics": "gemapsv01b_harmonics",
    "formants": "gemapsv01b_formants",
    "loudness": "gemapsv01b_loudness",
    "spectral": "gemapsv01b_logSpectral",
    "flux": "egemapsv02_logSpectral_flux",
    "mfcc": "egemapsv02_mfcc",
    "energy": "egemapsv02_energyRMS",
}
# of the two parts, what smooths for whole files; windows are smoothed one by one
SMOOTHERS = ("gemapsv01b_smoFnz", "gemapsv01b_smoE", "gemapsv01b_smoNoF0andLoudnNz",
             "gemapsv01b_smoSpectralZ", "gemapsv01b_smoSpectralNz", "egemapsv02_smoFnz",
             "egemapsv02_smoE", "egemapsv02_smoNoFLZ", "egemapsv02_smoNoF0andLoudnNz",
             "egemapsv02_smoSpectralZ", "egemapsv02_smoSpectralNz")  # fmt: skip
PITCH_FUNCTIONALS = {
    "functionals": "gemapsv01b_functionalsF0",
    "segments": "gemapsv01b_temporalF0",
    "pauses": "gemapsv01b_temporalF0pause",
}
LOUDNESS_FUNCTIONALS = {
    "functionals": "gemapsv01b_functionalsLoudness",
    "peaks": "gemapsv01b_temporalLoudness",
}
UNUSED = ("SpectralZ", "NoF0AndLoudnessNz", "SpectralNz")  # that the configuration asks for


def descriptors(sound: np.ndarray) -> dict[str, np.ndarray]:
    """What openSMILE computes of the frames: the names of LEVELS -> (frames, columns) float32.

    A frame is every 10 ms. Those of 20 ms (formants and all after them) are four more than those
    of 60 ms.
    """
    config = shipped("gemaps/v01b/GeMAPSv01b_core.lld.conf.inc")
    config += shipped("egemaps/v02/eGeMAPSv02_core.lld.conf.inc")
    config += table_source("nothing", {"nothing": 1}, 0.01)
    config += "".join(f"[{name}:cContourSmoother]\nreader.dmLevel=nothing\n" for name in SMOOTHERS)
    return run(config, LEVELS, sound, {"nothing": np.empty((0, 1))})


def _path(name: str) -> str:
    return shipped(name)[2:-2]


def jitter_of(sound: np.ndarray, clips: list[tuple[int, np.ndarray]]) -> list[np.ndarray]:
    """Jitter and shimmer of voiced stretches, each as if unvoiced frames were before it.

    Args:
        clips: first frame in ``sound`` and pitch (frames,) Hz of each stretch.

    Returns:
        Of each stretch (frames, 2) float32.
    """
    config = (
        component("frames", "cFramer", reader__dmLevel="wave", writer__dmLevel="frames",
                  frameSize=0.06, frameStep=0.01, frameCenterSpecial="left") + growing()
        + component("rms", "cEnergy", reader__dmLevel="frames", writer__dmLevel="rms", rms=1, log=0)
        + growing()
        + table_source("F0", {"F0final": 1}, 0.01)
        # joined to a level that has been framed, the pitch gets the times of its frames
        + component("timed", "cVectorConcat", reader__dmLevel="rms;F0", writer__dmLevel="timed",
                    includeSingleElementFields=1) + growing()
        + component("jitter", "cPitchJitter", reader__dmLevel="wave", writer__dmLevel="jitter",
                    F0reader__dmLevel="timed", F0field="F0final", searchRangeRel=0.1,
                    jitterLocal=1, shimmerLocalDB=1, inputMaxDelaySec=2.5, minNumPeriods=2,
                    minCC=0.5, useBrokenJitterThresh=0) + growing()
    )  # fmt: skip
    found: list[np.ndarray] = []
    rest = FRAME // HOP - 1  # frames that begin in a clip and end in the next
    for some in _by_length(clips):
        parts = [sound[at * HOP : (at + len(f0) - 1) * HOP + FRAME] for at, f0 in some]
        pitch = np.concatenate([np.pad(f0, (0, rest)) for _, f0 in some])
        values = run(config, {"jitter": "jitter"}, np.concatenate(parts), {"F0": pitch[:, None]})
        at = 0
        for _, f0 in some:
            found.append(values["jitter"][at : at + len(f0)])
            at += len(f0) + rest
    return found


def _by_length(clips: list[tuple[int, np.ndarray]]) -> list[list[tuple[int, np.ndarray]]]:
    """The clips in groups of up to PATCH_FRAMES frames."""
    groups: list[list[tuple[int, np.ndarray]]] = []
    count = PATCH_FRAMES
    for clip in clips:
        count += len(clip[1]) + FRAME // HOP
        if count > PATCH_FRAMES:
            groups.append([])
            count = 0
        groups[-1].append(clip)
    return groups


def harmonics_of(
    sound: np.ndarray, at: np.ndarray, pitch: np.ndarray, formants: np.ndarray
) -> np.ndarray:
    """The harmonics of single frames with another pitch: (frames, 6) float32.

    Args:
        at: (frames,) their numbers in ``sound``.
        pitch: (frames,) Hz. formants: (frames, 10) of `descriptors`.
    """
    config = (
        component("frames", "cFramer", reader__dmLevel="wave", writer__dmLevel="frames",
                  frameSize=0.06, frameStep=0.06, frameCenterSpecial="left") + growing()
        + component("window", "cWindower", reader__dmLevel="frames", writer__dmLevel="window",
                    winFunc="gauss", gain=1.0, sigma=0.4)
        + component("fft", "cTransformFFT", reader__dmLevel="window", writer__dmLevel="fft")
        + component("spectrum", "cFFTmagphase", reader__dmLevel="fft", writer__dmLevel="spectrum")
        + growing()
        + table_source("F0", {"F0final": 1}, 0.06)
        + table_source("formants", {"formantFreqLpc": 5, "formantBandwidthLpc": 5}, 0.06)
        + component("harmonics", "cHarmonics", reader__dmLevel="F0;formants;spectrum",
                    writer__dmLevel="harmonics", copyInputName=0, includeSingleElementFields=1,
                    formantFrequencyFieldName="formantFreqLpc", formantFrequencyFieldNameIsFull=1,
                    formantBandwidthFieldName="formantBandwidthLpc",
                    formantBandwidthFieldNameIsFull=1, f0ElementName="F0final",
                    f0ElementNameIsFull=1, magSpecFieldName="pcm_fftMag", magSpecFieldNameIsFull=1,
                    nHarmonics=100, harmonicDifferences="H1-H2;H1-A3", harmonicDifferencesLog=1,
                    firstHarmonicMagnitude=1, outputLogRelMagnitudes=1, formantAmplitudes=1,
                    formantAmplitudesLogRel=1, formantAmplitudesStart=1, formantAmplitudesEnd=3,
                    computeAcfHnrLogdB=1) + growing()
    )  # fmt: skip
    clips = np.concatenate([sound[k * HOP : k * HOP + FRAME] for k in at])
    tables = {"F0": pitch[:, None], "formants": formants}
    return run(config, {"harmonics": "harmonics"}, clips, tables)["harmonics"]


def contour_functionals(
    contours: np.ndarray, frames: np.ndarray, source: str, levels: dict[str, str]
) -> dict[str, np.ndarray]:
    """Functionals of a contour in many windows.

    Args:
        contours: (windows, frames) float32, smoothed.
        frames: (windows,) how many of each are used, from the first.
        source: F0 or loudness. levels: PITCH_FUNCTIONALS or LOUDNESS_FUNCTIONALS.

    Returns:
        The names of ``levels`` -> (windows, functionals) float32.
    """
    keep = _path("shared/BufferMode.conf.inc")  # of each level all frames
    config = table_source("F0", {"F0semitoneFrom27.5Hz": 1}, 0.01, "gemapsv01b_lld_single_logF0")
    for option in ("bufferModeRbConf", "bufferModeConf"):
        config += f"\\{{\\cm[{option}{{{keep}}}:levels]}}\n"
    config += table_source("loudness", {"loudness": 1}, 0.01, "gemapsv01b_loudness")
    for name in UNUSED:
        config += table_source(name, {"unused": 1}, 0.01, f"gemapsv01b_lldSet{name}_smo")
    config += shipped("gemaps/v01b/GeMAPSv01b_core.func.conf.inc")
    for name in ("F0", "Loudness"):  # they are smoothed already
        config += f"[gemapsv01b_smo{name}:cContourSmoother]\nsmaWin=1\nblocksize=500\n"
    starts = np.arange(len(contours)) * contours.shape[1]
    spans = ",".join(f"{a}-{a + n - 1}" for a, n in zip(starts, frames, strict=True))
    tables = dict.fromkeys(("F0", "loudness", *UNUSED), np.empty((0, 1), dtype=np.float32))
    tables[source] = contours.reshape(-1, 1)
    modes = {"frameModeFunctionalsConf": f"frameMode=list\nframeList={spans}\n"}
    return run(config, levels, tables=tables, files=modes)
