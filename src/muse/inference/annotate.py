"""Recordings annotated by a finished run: features as those of its training, then its models."""

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

import muse
from muse import terminal
from muse.config.annotate import AnnotateConfig
from muse.config.fields import path_of
from muse.errors import MuseError
from muse.extraction.feature_files import extract_files, find_files
from muse.extraction.media import MEDIA, VIDEO
from muse.extraction.sound import RATE, read_sound
from muse.files import write_json
from muse.inference.apply import LoadedRun
from muse.inference.curves import Curves, write_curves, write_subtitles
from muse.inference.elan import write_elan
from muse.inference.out_folder import Output, check_out, remove_written
from muse.inference.reuse import FEATURES, extractors_of, usable_run
from muse.inference.stream import Step, check_stream, delay, follow
from muse.inference.view import write_page
from muse.plots import draw_annotation, save_figure
from muse.temporary import temporary_folder
from muse.terminal import heading
from muse.training.scores import not_finite

log = logging.getLogger(__name__)

PARTS = 2000  # of a waveform, in a picture
OUTPUT = Output("annotate", "annotations", "annotation.json",
                r"curves/[^/]+/[^/]+\.csv|[^/]+\.(png|vtt|eaf|html)",
                kept=(f"{FEATURES}/",))  # fmt: skip


@dataclass(frozen=True)
class Annotated:
    """What has become of the recordings."""

    targets: list[str]
    done: list[str]  # recordings
    failed: list[str]  # reasons


def annotate_files(config: AnnotateConfig) -> Annotated:
    """Write the annotations of recordings below ``config.out``, whatever becomes of single ones.

    curves/TARGET/ID.csv, and of each recording a picture (ID.png), subtitles (ID.vtt), a file of
    ELAN (ID.eaf) and, with `view`, a page (ID.html).

    Raises:
        MuseError: a run that cannot be used, see `usable_run` and `extractors_of`; no recordings;
            an `out` with files of others, or with annotations already.
    """
    out = path_of(config.out)
    check_out(out, OUTPUT, config.overwrite)
    with temporary_folder() as cache:
        used = usable_run(config, out, str(cache))
        extractors = extractors_of(used, config, out)
        endings = {name: extractor.endings for name, (extractor, _) in extractors.items()}
        places = _places(config.source, endings)
        found = {name: find_files(places[name], endings[name]) for name in endings}
        ids, failed = _complete(found, endings)
        for extractor, settings in extractors.values():
            paths = [str(found[settings.features][id_]) for id_ in ids]
            if not paths:
                break
            extracted = extract_files(extractor, replace(settings, source=paths))
            failed += extracted.failed
            if extracted.notes:
                log.warning("%s", terminal.first_of(extracted.notes))
            made = {*extracted.made, *extracted.kept}
            ids = [id_ for id_ in ids if id_ in made]
        if ids:  # else earlier annotations stay
            remove_written(out, OUTPUT)
            write_json(out / OUTPUT.about, _about(used, ids, config.view))  # before what it names
        done = []
        for id_ in terminal.bar(ids, "annotating", unit="file"):
            try:
                media = _media_of([paths[id_] for paths in found.values()])
                write_all(curves_of(used, id_, media), out, config.view)
                done.append(id_)
            except MuseError as error:
                failed += error.faults
    return Annotated(used.targets, done, failed)


def _about(used: LoadedRun, ids: list[str], view: bool) -> dict:
    """What the annotations are made with, and the files that there will be."""
    endings = ["png", "vtt", "eaf", *(["html"] if view else [])]
    files = [f"curves/{target}/{id_}.csv" for target in used.targets for id_ in ids]
    files += [f"{id_}.{ending}" for id_ in ids for ending in endings]
    return {
        "muse": muse.__version__,
        "run": str(used.saved.folder),
        "run_id": used.saved.result["run_id"],
        "targets": used.targets,
        "synthetic": used.saved.result["synthetic"],
        "files": files,
    }


def open_stream(config: AnnotateConfig, source: BinaryIO) -> tuple[Iterator[Step], float, float]:
    """The values of a stream as they come, the seconds that they come after their frame, the step.

    Raises MuseError for a run that cannot follow a stream, see `check_stream` and `usable_run`.
    """
    out = path_of(config.out)  # where nothing is written
    used = usable_run(config, out, cache="")
    extractors = extractors_of(used, config, out)
    windows = {name: extractor.window for name, (extractor, _) in extractors.items()}
    check_stream(used, windows)
    step = used.config.task.step
    return follow(used, windows, source, config.gain), delay(windows, step), step


def curves_of(used: LoadedRun, id_: str, media: Path | None) -> Curves:
    """The predictions of a recording whose features are extracted; MuseError if they are of no use.

    Args:
        used: see `usable_run`.
    """
    package = used.package([], {"test": [id_]})
    recording = package.partitions["test"][0]
    values = {}
    for applied in used.apply(package):
        wrong = not_finite([recording], applied.values)
        if wrong:
            raise MuseError(f"{package.folder}: {applied.target}, {wrong}.")
        values[applied.target] = applied.values
    about = heading(
        used.config.task.title, used.config.describe(used.features), used.saved.result["synthetic"]
    )
    step = 1000 * used.config.task.step
    return Curves(id_, about, media, recording.timestamps, step, values)


def write_all(curves: Curves, out: Path, view: bool) -> None:
    """All files of a recording."""
    write_curves(curves, out / "curves")
    write_subtitles(curves, out / f"{curves.id}.vtt")
    write_elan(curves, out / f"{curves.id}.eaf")
    middles = (curves.times + curves.ends) / 2000
    lines = {target: (middles, values) for target, values in curves.values.items()}
    title = terminal.printable(f"{curves.id}: {curves.about}")
    save_figure(draw_annotation(title, lines, _waveform(curves.media)), out / f"{curves.id}.png")
    if view:
        write_page(curves, out / f"{curves.id}.html")


def _waveform(media: Path | None) -> tuple[np.ndarray, np.ndarray] | None:
    """Seconds (parts,), lowest and highest sample (parts, 2); None if there is no sound."""
    sound = np.empty(0)
    if media is not None:
        with suppress(MuseError):  # a film without sound has curves all the same
            sound = read_sound(media)
    if not len(sound):
        return None
    starts = np.unique(np.linspace(0, len(sound), PARTS, endpoint=False).astype(int))
    limits = [of.reduceat(sound, starts) for of in (np.minimum, np.maximum)]
    return starts / RATE, np.stack(limits, axis=1)


def _places(source: list[str], endings: dict[str, tuple[str, ...]]) -> dict[str, list[str]]:
    """Feature set -> the files and folders that it is made of.

    What is of no use to any of them goes to all: the reason is theirs to say.
    """

    def fits(text: str, own: tuple[str, ...]) -> bool:
        place = path_of(text)
        files = place.glob("[!.]*") if place.is_dir() else [place]
        return any(file.suffix.lower() in own for file in files)

    lost = [text for text in source if not any(fits(text, own) for own in endings.values())]
    return {
        name: [text for text in source if text in lost or fits(text, own)] or source
        for name, own in endings.items()
    }


def _complete(
    found: dict[str, dict[str, Path]], endings: dict[str, tuple[str, ...]]
) -> tuple[list[str], list[str]]:
    """The recordings that have a file for each feature set, and what the others lack."""
    ids = list(dict.fromkeys(id_ for paths in found.values() for id_ in paths))
    lacking = {id_: [n for n in found if id_ not in found[n]] for id_ in ids}
    failed = [
        f"{id_}: no file for the feature set {n} ({' or '.join(endings[n])})."
        for id_, names in lacking.items()
        for n in names
    ]
    return [id_ for id_ in ids if not lacking[id_]], failed


def _media_of(paths: list[Path]) -> Path | None:
    """The file of a recording that can be played, with pictures if there is one."""
    by_kind = (p for kind in (VIDEO, MEDIA) for p in paths if p.suffix.lower() in kind)
    return next(by_kind, None)
