"""What can be watched while a run trains: metrics.jsonl, TensorBoard, the progress bar, the log."""

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from tqdm.contrib.logging import logging_redirect_tqdm

from muse import progress
from muse.config import TrainConfig
from muse.training.jobs import Job
from muse.training.loop import SeedResult

log = logging.getLogger(__name__)


class Recorder:
    """Writes each epoch where people look; `of` names the model that is being trained."""

    def __init__(self, config: TrainConfig, folder: Path, bar):
        self.config, self.folder, self.bar = config, folder, bar
        self.job: Job | None = None
        self.writer = None  # TensorBoard's, of the current target and seed
        self.writer_of: tuple = ()
        self.seconds = 0.0  # in epochs
        # a resumed run tells its epochs again, from the checkpoints
        self.metrics = (folder / "metrics.jsonl").open("w", encoding="utf-8")
        shutil.rmtree(folder / "tensorboard", ignore_errors=True)

    def of(self, job: Job) -> None:
        """From now on epochs belong to this job."""
        self.job = job

    def on_epoch(self, record: dict) -> None:
        """One line of metrics.jsonl, TensorBoard's scalars, one step of the bar."""
        self.seconds += record["seconds"]
        print(json.dumps({"target": self.job.name, **record}), file=self.metrics, flush=True)
        if self.config.tensorboard:
            fold = f"_fold_{record['fold']}" if "fold" in record else ""
            writer = self._writer(f"seed_{record['seed']}{fold}")
            for name in ("loss", "devel", "lr"):
                writer.add_scalar(name, record[name], record["epoch"])
        self.bar.set_description(f"{self.job.name} seed {record['seed']}", refresh=False)
        scores = {name: f"{record[name]:.3f}" for name in ("devel", "best")}
        self.bar.set_postfix(scores, refresh=False)
        self.bar.update()

    def on_seed(self, row: dict) -> None:
        """One line of the log; the bar skips what the early stop has saved."""
        self.bar.update(self.config.epochs - row["epochs"])
        for target in self.job.targets:
            test = row["test"][target]
            log.info(
                "%s seed %d: devel %.4f in epoch %d of %d%s",
                target,
                row["seed"],
                row["devel"][target],
                row["best_epoch"],
                row["epochs"],
                "" if test is None else f", test {test:.4f}",
            )

    def on_fold(self, fold: int, result: SeedResult) -> None:
        """As on_seed, for a model that leaves recordings out."""
        self.bar.update(self.config.epochs - result.epochs)
        log.info(
            "%s fold %d of %d: %s %.4f in epoch %d of %d",
            self.job.name,
            fold,
            self.config.crossfit,
            self.config.best_on,
            result.devel,
            result.best_epoch,
            result.epochs,
        )

    def _writer(self, name: str):
        if self.writer_of != (self.job.name, name):
            from torch.utils.tensorboard import SummaryWriter

            if self.writer:
                self.writer.close()
            self.writer_of = (self.job.name, name)
            self.writer = SummaryWriter(self.folder / "tensorboard" / self.job.name / name)
        return self.writer

    def close(self) -> None:
        """Flush and close the files."""
        self.metrics.close()
        if self.writer:
            self.writer.close()


@contextmanager
def recording(config: TrainConfig, folder: Path, jobs: int) -> Iterator[Recorder]:
    """A recorder with a bar over all epochs of ``jobs`` jobs; its files are closed in any case."""
    total = jobs * (len(config.seeds) + config.crossfit) * config.epochs
    above_the_bar = nullcontext() if progress.quiet else logging_redirect_tqdm()
    with above_the_bar, progress.bar(total=total, unit="epoch") as bar:
        recorder = Recorder(config, folder, bar)
        try:
            yield recorder
        finally:
            recorder.close()
