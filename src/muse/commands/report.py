"""`muse report`: one page to look at, as a file or served while runs go on."""

import logging
from functools import partial

from muse.config.fields import path_of
from muse.config.report import ReportConfig
from muse.errors import MuseError
from muse.files import write_text
from muse.report.collect import collect, summary
from muse.report.live import server_of
from muse.report.page import page

log = logging.getLogger(__name__)


def run(config: ReportConfig) -> None:
    """Write the page, or serve it until Ctrl-C.

    Raises:
        MuseError: no runs; a file that is there already; a port in use.
    """
    if config.live:
        _serve(config)
        return
    out = path_of(config.out)
    if out.exists() and not config.overwrite:
        raise MuseError(
            f"out={config.out}: the file is there already. Give another name, or overwrite=true."
        )
    content = collect(config, {})
    for note in content["notes"]:
        log.warning("%s", note)
    text = page(content)
    write_text(out, text)
    print(f"{out}: {summary(content)}, {len(text.encode()) / 1e6:.1f} MB")


def _serve(config: ReportConfig) -> None:
    read = partial(collect, config, {})
    with server_of(config, read) as server:
        read()  # what is wrong with the runs is said here, not in the browser
        token = f"?token={config.token}" if config.token else ""
        print(f"http://{config.host}:{server.server_port}/{token}  until Ctrl-C", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("stopped")
