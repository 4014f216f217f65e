"""`muse personalise`: a finished run trained on for each subject of test."""

import logging

from muse.config.compose import load_config
from muse.config.fields import path_of
from muse.config.train import TrainConfig
from muse.config.use import PersonaliseConfig
from muse.errors import MuseError
from muse.runs.identity import settings_key
from muse.runs.read import read_result, read_run
from muse.tables.comparison import compare
from muse.tables.comparison_text import render
from muse.terminal import in_columns
from muse.training.personal import settings_to_personalise
from muse.training.prepare import load_inputs
from muse.training.run import begin_run

log = logging.getLogger(__name__)


def run(config: PersonaliseConfig) -> None:
    """Train in a run folder for each learning rate and number of epochs; print the best on devel.

    What is finished is not trained again, and what was stopped goes on.

    Raises:
        MuseError: as `muse.training.personal.settings_to_personalise` and `begin_run`; other data
            than those of the run.
    """
    root, done = path_of(config.out), {}
    runs = settings_to_personalise(config)
    package = load_inputs(runs[0])
    for settings in runs:
        folder = root / f"{path_of(settings.personalised.run).name}_{settings_key(settings)}"
        if (folder / "result.json").exists():
            result = read_result(folder)
            log.info("%s: finished already.", folder)
        else:
            result = begin_run(settings, folder, package, new=False)
        done[folder] = settings, result
    if len(done) > 1:
        print(f"\n{_leaderboard([*done.values()])}\n")
    best = max(done, key=lambda folder: _devel(done[folder][1]))
    settings, result = done[best]
    scored = {part["scored_on"] for part in result["targets"].values()}
    names = ["personalised", "general"]
    words = [f"runs=[{best.absolute()},{settings.personalised.run}]", f"names=[{','.join(names)}]",
             f"partition={'test' if scored == {'test'} else 'devel'}"]  # fmt: skip
    comparison = load_config("compare", words)
    both = [read_run(folder) for folder in comparison.runs]
    print(render(compare(comparison, both), "terminal"), end="")
    print(f"\n{best}\n  scores of each subject result.json, plots/subjects.png")


def _devel(result: dict) -> float:
    """The devel score, averaged over targets."""
    scores = [part["devel"] for part in result["targets"].values()]
    if None in scores:
        raise MuseError("devel has no labels of some recording; nothing can be chosen by it.")
    return sum(score[result["metric"]] for score in scores) / len(scores)


def _leaderboard(done: list[tuple[TrainConfig, dict]]) -> str:
    """A line per run, the best on devel first."""
    ranked = sorted(done, key=lambda item: -_devel(item[1]))
    rows = [["lr", "epochs", "devel"]]
    rows += [[f"{s.lr:g}", str(s.epochs), f"{_devel(result):.4f}"] for s, result in ranked]
    return in_columns(rows)
