"""What the best runs predict of each devel recording, and what each member adds to a fusion."""

import base64
import logging
from dataclasses import replace

import numpy as np

from muse.config.report import ReportConfig
from muse.data.heads import head_of
from muse.data.recordings import Package, Recording
from muse.errors import MuseError
from muse.files import check_plain
from muse.report.entries import Entry
from muse.runs.predictions import load_together
from muse.runs.read import SavedRun, read_run
from muse.scoring import metric_name

log = logging.getLogger(__name__)

VALUES = 2_000_000  # of predictions on the page, at 2.7 bytes
BINS = 40


class Details:
    """Signals of the runs that are looked at; gold standards are kept once for all runs.

    ``golds`` has them: checksum of the labels -> times and values.
    """

    def __init__(self, config: ReportConfig, kept: dict):
        self.config, self.kept = config, kept
        self.golds: dict[str, dict] = {}
        self.left = VALUES

    def add_best(self, boards: list[dict], found: list[Entry], runs: list[dict]) -> list[str]:
        """Add `details` to the targets of the best runs of each leaderboard; returns notes.

        The best of all leaderboards come first, as long as there is room.
        """
        notes: list[str] = []
        places = [
            (board["rows"][rank]["run"], board["target"])
            for rank in range(self.config.best)
            for board in boards
            if rank < len(board["rows"]) and board["rows"][rank]["devel"] is not None
        ]
        for done, (number, target) in enumerate(places):
            if self.left <= 0:
                notes.append(f"Predictions: there was room for {done} of {len(places)} runs.")
                break
            try:
                details = self._of(found[number], target)
            except MuseError as error:
                notes.append(f"no predictions of {target}: {error}")
                continue
            part = runs[number]["targets"][target] | details
            runs[number]["targets"] = runs[number]["targets"] | {target: part}
        if len(places) < sum(len(board["rows"]) for board in boards):
            notes.append(
                f"Predictions are shown of the best {self.config.best} runs of each leaderboard, "
                "of all others the scores and curves. best=N shows more or fewer."
            )
        return notes

    def _of(self, entry: Entry, target: str) -> dict:
        """Recordings, distribution and members of a run; MuseError if its files are damaged."""
        key = (entry.folder, target, entry.finished.result["digest"])
        if key not in self.kept:
            self.kept[key] = self._read(entry, target)
        details, golds = self.kept[key]
        self.golds |= golds
        self.left -= sum(len(row["values"]) for row in details["recordings"]) * 3 // 8
        return details

    def _read(self, entry: Entry, target: str) -> tuple[dict, dict]:
        check_plain(entry.folder)
        run = read_run(str(entry.folder))
        config = run.config
        head = head_of(config.task, config.ccc, [target])
        recordings = load_together([run], target, "devel")
        values = [head.values(np.asarray(r.features[0]), 0) for r in recordings]
        labels = [r.labels[target] for r in recordings]
        samples = [r.samples for r in recordings]
        scores = head.measure(values, labels, samples)(np.eye(len(recordings)))  # of each alone
        rows, golds, predicted, gold = [], {}, [], []
        for recording, own, score in zip(recordings, values, scores, strict=True):
            predicted.append(head.predictions(own, recording.samples))
            gold.append(head.labels(recording.labels[target], recording.samples))
            key = run.result["files"][f"labels/{target}/devel/{recording.id}.csv"]
            times = recording.timestamps[head.rows(recording.samples)] / 1000
            if head.per_segment:  # where the last segment ends
                times = np.append(times, recording.timestamps[-1] / 1000)
            golds[key] = {"times": _packed(times), **_quantised(gold[-1])}
            rows.append({"id": recording.id, "score": round(float(score), 4), "gold": key,
                         **_quantised(predicted[-1])})  # fmt: skip
        shown = {"prediction, devel": np.concatenate(predicted)}
        shown["labels, devel"] = np.concatenate(gold)
        shown |= self._other_labels(run, target, head)
        return {
            "recordings": sorted(rows, key=lambda row: -row["score"]),
            "steps": head.per_segment,  # a class for each segment, not a curve
            "distribution": _distribution(shown, config.task.classes_of(target)),
            **({"members": self._members(entry, target)} if entry.finished.fusion else {}),
        }, golds

    def _other_labels(self, run: SavedRun, target: str, head) -> dict[str, np.ndarray]:
        """Labels of train and test, where the run has kept them; equal data are read once."""
        found = {}
        for partition in ("train", "test"):
            key = ("labels", target, run.result["data"]["folder"], partition,
                   run.result["data"]["partitions"].get(partition))  # fmt: skip
            if key not in self.kept:
                try:
                    read = load_together([run], target, partition)
                    self.kept[key] = [head.labels(r.labels[target], r.samples) for r in read]
                except MuseError:  # no labels of test, or no predictions beside them
                    self.kept[key] = []
            if self.kept[key]:
                found[f"labels, {partition}"] = np.concatenate(self.kept[key])
        return found

    def _members(self, entry: Entry, target: str) -> dict:
        """The devel score of a fusion, of each member alone, and of the fusion without it.

        A trained fusion cannot be left a member short, so the member says nothing: in each frame
        of devel its prediction is replaced by its mean over all of them, and the fusion is not
        trained again.
        """
        from muse.inference.apply import load_run  # with torch, which other pages need not

        try:
            used = load_run(self.config, str(entry.folder))
            package = used.package([target], {"devel": []})
            devel = package.partitions["devel"]
            metric = metric_name(used.config.task.metric)
            head = head_of(used.config.task, used.config.ccc, [target])
            golds, samples = [r.labels[target] for r in devel], [r.samples for r in devel]

            def score(values: list[np.ndarray]) -> float:
                return round(head.scores(values, golds, samples)[metric], 4)

            def fused(package: Package) -> float:
                (applied,) = used.apply(package, out_of_fold=True)
                ends = np.cumsum([len(r.rows) for r in devel])[:-1]
                return score(np.split(applied.values, ends))

            whole, rows = fused(package), []
            for k, name in enumerate(package.features):
                width = len(package.columns[name])
                alone = [head.values(np.asarray(r.features[k]), 0) for r in devel]
                without = fused(_silenced(package, k))
                own = score(alone) if width == head.outputs[0] else None
                rows.append({"name": name, "alone": own, "without": without})
            return {"fusion": whole, "rows": rows}
        except MuseError as error:
            return {"fault": str(error)}


def _silenced(package: Package, k: int) -> Package:
    """A package in which the k-th feature set of devel is its mean over all frames."""
    devel = package.partitions["devel"]
    mean = np.concatenate([r.features[k] for r in devel]).mean(0, dtype=np.float64)

    def silent(recording: Recording) -> Recording:
        features = list(recording.features)
        features[k] = np.broadcast_to(mean.astype(np.float32), features[k].shape).copy()
        return replace(recording, features=features)

    return replace(package, partitions={"devel": list(map(silent, devel))})


def _distribution(values: dict[str, np.ndarray], classes: int) -> dict:
    """Share of the values in bins, the same for all; of classes the share of each."""
    if classes:
        edges = np.arange(classes + 1) - 0.5
    else:
        edges = np.histogram_bin_edges(np.concatenate(list(values.values())).astype(float), BINS)
    shares = {
        name: (np.histogram(own, edges)[0] / len(own)).round(5).tolist()
        for name, own in sorted(values.items())
    }
    moments = {name: [len(own), float(np.mean(own)), float(np.std(own))]
               for name, own in sorted(values.items())}  # fmt: skip
    return {"edges": edges.round(5).tolist(), "shares": shares, "moments": moments,
            "classes": classes}  # fmt: skip


def _quantised(values: np.ndarray) -> dict:
    """Values as 16-bit numbers between their lowest and highest, in base 64."""
    values = np.asarray(values, np.float64)
    low, high = float(values.min()), float(values.max())
    steps = np.round((values - low) / ((high - low) or 1) * 65535).astype("<u2")
    return {"low": low, "high": high, "values": base64.b64encode(steps.tobytes()).decode()}


def _packed(times: np.ndarray) -> dict | list[float]:
    """Times in seconds; first and step alone if they are evenly spaced."""
    steps = np.diff(times)
    if len(steps) and np.ptp(steps) < 1e-6:
        return {"first": round(float(times[0]), 4), "step": round(float(steps[0]), 4)}
    return times.round(4).tolist()
