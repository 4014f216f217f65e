"""What can be watched while a run trains: metrics.jsonl, TensorBoard, the progress bar, the log."""

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from tqdm.contrib.logging import logging_redirect_tqdm

from muse import terminal
from muse.config.train import TrainConfig
from muse.files import open_regular, write_text
from muse.terminal import counted
from muse.training.prepare import ModelPlan
from muse.training.seeds import SeedOutcome

log = logging.getLogger(__name__)


class Recorder:
    """Writes each epoch where people look; `of` names the model that is being trained."""

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        bar,
        watch: Callable[[dict], None] | None = None,
    ):
        self.config, self.folder, self.bar, self.watch = config, folder, bar, watch
        self.job: ModelPlan | None = None
        self.writers: dict[str, Any] = {}  # TensorBoard's, of each target and seed
        self.seconds = 0.0  # in epochs
        self.records: list[dict] = []
        # a resumed run tells its epochs again, from the checkpoints
        self.metrics = open_regular(folder / "metrics.jsonl", "w")
        shutil.rmtree(folder / "tensorboard", ignore_errors=True)

    def of(self, job: ModelPlan) -> None:
        """From now on seeds and folds are of this job."""
        self.job = job

    def on_epoch(self, record: dict) -> None:
        """One line of metrics.jsonl, TensorBoard's scalars, one step of the bar."""
        if self.config.loss == "ccc":  # the loss is one minus the mean CCC of the windows
            record = record | {"train": 1 - record["loss"]}
        self.seconds += record["seconds"]
        self.records.append(record)
        print(json.dumps(record), file=self.metrics, flush=True)
        if self.config.tensorboard:
            fold = f"_fold_{record['fold']}" if "fold" in record else ""
            writer = self._writer(f"{record['target']}/seed_{record['seed']}{fold}")
            for name in [n for n in ("loss", "train", "devel", "lr", "C") if n in record]:
                writer.add_scalar(name, record[name], record["epoch"])
        self.bar.set_description(f"{record['target']} seed {record['seed']}", refresh=False)
        scores = {name: f"{record[name]:.3f}" for name in ("devel", "best") if name in record}
        self.bar.set_postfix(scores, refresh=False)
        self.bar.update(0 if "C" in record else 1)  # a fit is one step of the bar
        if self.watch:
            self.watch(record)

    def on_seed(self, row: dict) -> None:
        """One line of the log; the bar skips what the early stop has saved."""
        self.bar.update(self.config.epochs - row["epochs"])
        of_seed = f" seed {row['seed']}" if row["epochs"] else ""  # a mean is not trained
        chosen = _chosen(row, row["best_epoch"], row["epochs"])
        for target in self.job.targets:
            devel, test = row["devel"][target], row["test"][target]
            tested = "" if test is None else f", test {test:.4f}"
            scored = (
                f"devel {devel:.4f}{chosen}"
                if devel is not None
                else (f"retrained for {counted(row['epochs'], 'epoch')}")
            )
            log.info("%s%s: %s%s", target, of_seed, scored, tested)

    def on_fold(self, outcome: SeedOutcome, count: int) -> SeedOutcome:
        """As on_seed, for a model that one of ``count`` folds leaves recordings out of."""
        result = outcome.result
        self.bar.update(self.config.epochs - result.epochs)
        # with folds this devel is drawn from the recordings that are not held out
        alone = bool(self.config.folds) and not self.config.personalised
        watched = f"{'inner ' * alone}{self.config.best_on}"
        log.info(
            "%s %s %d of %d%s: %s %.4f%s",
            outcome.plan.name,
            "subject" if self.config.personalised else "fold",
            outcome.row["fold"],
            count,
            f", seed {result.seed}" if self.config.folds else "",
            watched,
            result.devel,
            _chosen(outcome.row, result.best_epoch, result.epochs),
        )
        return outcome

    def _writer(self, name: str):
        if name not in self.writers:
            from torch.utils.tensorboard import SummaryWriter

            self.writers[name] = SummaryWriter(self.folder / "tensorboard" / name)
        return self.writers[name]

    def sort(self) -> None:
        """Order records and metrics.jsonl by target, seed and epoch, as if trained in turn."""
        targets, seeds = self.config.targets, self.config.seeds

        def place(record: dict) -> tuple:
            target = targets.index(record["target"].split("+")[0])
            return target, record.get("fold", 0), seeds.index(record["seed"]), record["epoch"]

        self.records.sort(key=place)
        lines = [json.dumps(record) + "\n" for record in self.records]
        write_text(self.folder / "metrics.jsonl", "".join(lines))

    def close(self) -> None:
        """Flush and close the files."""
        self.metrics.close()
        for writer in self.writers.values():
            writer.close()


def _chosen(row: dict, best: int, epochs: int) -> str:
    """What devel has chosen: a C, an epoch, or nothing of a model that is not trained."""
    if "C" in row:
        return f" with C={row['C']:g}"
    return f" in epoch {best} of {epochs}" if epochs else ""


@contextmanager
def recording(
    config: TrainConfig,
    folder: Path,
    models: int,
    watch: Callable[[dict], None] | None = None,
) -> Iterator[Recorder]:
    """A recorder with a bar over all epochs of as many models; its files are closed in any case.

    Args:
        watch: gets each record, too.
    """
    total = models * config.epochs
    above_the_bar = nullcontext() if terminal.quiet else logging_redirect_tqdm()
    with above_the_bar, terminal.bar(total=total, unit="epoch") as bar:
        recorder = Recorder(config, folder, bar, watch)
        try:
            yield recorder
            recorder.sort()
        finally:
            recorder.close()
