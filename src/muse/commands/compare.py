"""`muse compare`: whether finished runs differ by more than chance, recording by recording."""

from muse.config.compare import CompareConfig
from muse.config.fields import path_of
from muse.errors import MuseError
from muse.files import check_plain, write_text
from muse.plots import save_figure
from muse.runs.find import run_folder
from muse.runs.read import SavedRun, read_run
from muse.statistics.figure import draw_differences
from muse.tables.comparison import compare
from muse.tables.comparison_text import render


def run(config: CompareConfig) -> None:
    """Print the table, or write it to `out`; draw the picture.

    Raises:
        MuseError: a run folder that is damaged or unfinished; runs that cannot be compared; a file
            to be written that is there already.
    """
    out = path_of(config.out) if config.out else None
    plot = path_of(config.plot) if config.plot else out and out.with_suffix(".png")
    for name, path in (("out", out), ("plot", plot)):
        if path and path.exists():
            raise MuseError(f"{name}={path}: the file is there already. Give another name.")
    comparison = compare(config, [_read(text) for text in config.runs])
    text = render(comparison, config.format)
    if out:
        write_text(out, text)
    else:
        print(text, end="")
    if plot:
        figure = draw_differences(comparison.title, comparison.metric, comparison.rows)
        save_figure(figure, plot)
    for path in filter(None, (out, plot)):
        print(path)


def _read(text: str) -> SavedRun:
    folder = run_folder(text)
    saved = read_run(str(folder))
    check_plain(folder)  # what is read of a run is its own
    return saved
