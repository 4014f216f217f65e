"""`muse table`: published numbers beside those of finished runs, and how each came about."""

from muse.config.fields import path_of
from muse.config.table import TableConfig
from muse.errors import MuseError
from muse.files import write_text
from muse.runs.finished import finished_runs
from muse.sweep.missing import train_missing
from muse.tables.build import block_of, tables_of, usable_runs
from muse.tables.published import read_paper
from muse.tables.ranks import rank_blocks
from muse.tables.render import render


def run(config: TableConfig) -> None:
    """Print the table, or write it to `out`.

    Raises:
        MuseError: an unknown task, table or row; a run of `train=missing` that has failed; an `out`
            that is there already.
    """
    if config.out and path_of(config.out).exists():
        raise MuseError(f"out={config.out}: the file is there already. Give another name.")
    paper = read_paper(config.table)
    runs = usable_runs(finished_runs(path_of(config.root)))
    tables = tables_of(config, paper, runs)
    if config.train == "missing":
        train_missing(config, tables, runs)
        tables = tables_of(config, paper, runs)
    blocks = [block_of(config, table) for table in tables]
    text = render([*blocks, *rank_blocks(paper, tables, blocks)], config.format)
    if config.out:
        write_text(path_of(config.out), text)
        print(config.out)
    else:
        print(text, end="")
