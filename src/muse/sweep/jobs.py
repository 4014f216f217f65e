"""Sweeps that can be continued: a job that is finished is never trained again.

Each job has its folder below the sweep's, named after its settings, so the same command finds what
it has done before. A job whose numbers are in another finished run below outputs/ refers to it.
"""

from pathlib import Path

from muse.config.train import TrainConfig
from muse.files import write_json
from muse.runs.folder import BusyError, begin
from muse.runs.identity import settings_key
from muse.sweep.state import ELSEWHERE, _finished, _make_room, keep_failure, state_of


def run_job(config: TrainConfig, root: Path, load) -> None:
    """Train one job of the sweep below ``root``, unless that is done.

    What goes wrong stays in the job's folder and never stops the others.
    """
    folder = root / settings_key(config)
    if config.rerun == "none" and state_of(folder) == "failed":
        return
    from muse.training.prepare import id_of
    from muse.training.run import train_in

    try:
        config, package = load(config, folder)
        id_ = id_of(config, package)
        if config.rerun != "all":
            earlier = _finished(root, id_)
            if earlier:
                if earlier.resolve() != folder.resolve():
                    write_json(folder / ELSEWHERE, {"run": str(earlier.resolve())})
                return
        _make_room(folder, id_)
        begin(folder, config)
        train_in(folder, config, lambda *_: (config, package))
    except BusyError:
        return  # another process does it
    except Exception as error:
        keep_failure(folder, error, config.job.command)
