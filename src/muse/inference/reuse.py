"""A finished run, and how its features are made of other recordings."""

from dataclasses import replace
from pathlib import Path

from muse.config.annotate import AnnotateConfig
from muse.config.extract import ExtractConfig
from muse.config.use import DataOfUse, UseConfig
from muse.data.heads import head_of
from muse.errors import MuseError, did_you_mean
from muse.extraction.feature_files import Extractor
from muse.extraction.provenance import extractor_again, settings_again
from muse.inference.apply import LoadedRun, load_run

FEATURES = "features"  # the package in `out`, which the next call goes on with


def usable_run(config: AnnotateConfig, out: Path, cache: str) -> LoadedRun:
    """The finished run, to be applied to the package FEATURES in ``out``.

    Raises:
        MuseError: as `load_run`; a run whose predictions a recording alone does not have: of a
            fusion, of classes of segments, of frames that are brought together.
    """
    data = DataOfUse(str(out), cache, 1)
    used = load_run(UseConfig(config.device, config.threads, config.trust, data), config.run)
    run, settings = used.saved.folder, used.config
    if settings.fusion:
        raise MuseError(
            f"{run}: a fusion reads predictions, no features. Annotate with each of its members."
        )
    if head_of(settings.task).per_segment:
        raise MuseError(
            f"{run}: {settings.task.title} has a class for each segment, and a recording alone has "
            "no segments. Give it them as a package, and use `muse predict`."
        )
    if settings.align:
        raise MuseError(
            f"{run}: was trained with align={settings.align}, on frames of its package. Here all "
            "feature sets of a recording have the same frames; use a run without align."
        )
    made = used.saved.result.get("extracted", {})
    lacking = [name for name in used.read if name not in made]
    if lacking:
        raise MuseError(
            f"{run}: nothing says how the feature set {' and '.join(lacking)} was made, so it "
            "cannot be made of other recordings. Make it with `muse extract`, which leaves "
            "extraction.json beside it, and train anew; features of elsewhere can be given to "
            "`muse predict` as a package."
        )
    step = used.saved.result["frame_step"]
    task = replace(settings.task, folder=FEATURES, step=step or settings.task.step)
    settings = replace(settings, task=task, data=data, split=None, recordings=None)
    return replace(used, config=settings)


def extractors_of(
    used: LoadedRun, config: AnnotateConfig, out: Path
) -> dict[str, tuple[Extractor, ExtractConfig]]:
    """Feature set -> how it is made here, which is how it was made for the run.

    Raises:
        MuseError: see `muse.extraction.provenance`; weights of a feature set that is not read.
    """
    made, where = used.saved.result["extracted"], used.saved.folder / "result.json"
    for name in config.weights:
        if name not in used.read:
            raise MuseError(
                f"weights.{name}: the run reads {', '.join(used.read)}."
                f"{did_you_mean(name, used.read)}"
            )
    found = {}
    for name in used.read:
        given = {
            "source": ["."],
            "out": str(out / FEATURES),
            "step": used.config.task.step,
            "workers": config.workers,
        }
        if name in config.weights:
            given["weights"] = config.weights[name]
        if config.device:
            given["device"] = config.device
        settings = settings_again(name, made[name], where, given)
        found[name] = extractor_again(name, made[name], settings, where), settings
    return found
