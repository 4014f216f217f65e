"""Settings of `muse report`."""

import ipaddress
from dataclasses import dataclass
from typing import Any

from muse.config.fields import setting
from muse.config.shared import JobInfo
from muse.config.table import PAPERS
from muse.config.use import UseConfig
from muse.errors import MuseError

TOKEN = 16  # characters at least


@dataclass
class ReportConfig(UseConfig):
    """Settings of `muse report`."""

    runs: Any = setting("Folders, below which all runs are shown: outputs, a sweep, or run "
                        "folders; latest: the newest finished run below outputs.",
                        names=True)  # fmt: skip
    out: str = setting("File of the page, one HTML file that needs nothing else.")
    overwrite: bool = setting("Replace a file that is there already.")
    best: int = setting("Runs of each leaderboard, the best on devel, whose predictions are shown "
                        "recording by recording.", low=1, high=1000)  # fmt: skip
    show_test: bool = setting("Test scores of all runs, not only of the one best on devel.")
    compare: Any = setting("Run folders that are tested against each other, as by muse compare; "
                           "null: none.", names=True, null=True)  # fmt: skip
    table: str | None = setting("The paper whose tables stand beside the runs, for their tasks; "
                                "null: none.", choices=PAPERS)  # fmt: skip
    live: bool = setting("Serve the page instead, as the runs go on, until it is stopped (Ctrl-C).")
    port: int = setting("With live=true: the port; 0: one that is free.", low=0, high=65535)
    host: str = setting("With live=true: the address that is listened on; one that others reach "
                        "needs a token.")  # fmt: skip
    token: str | None = setting("With live=true: what a browser must give, as ?token=..., to see "
                                f"anything; {TOKEN} characters or more.")  # fmt: skip
    job: JobInfo | None = setting("Filled in by muse.", default=None)

    def __post_init__(self):
        super().__post_init__()
        if not self.live and not self.out.endswith(".html"):
            raise MuseError(f"out={self.out}: expected a name that ends in .html.")
        if self.token is not None and (len(self.token) < TOKEN or not self.token.isalnum()):
            raise MuseError(
                f"token: expected {TOKEN} or more letters and digits that nobody guesses."
            )
        if self.live and not self.local and self.token is None:
            raise MuseError(
                f"host={self.host}: others could see the page. Give a token=... of {TOKEN} letters "
                "and digits or more, or leave host= out: only this machine sees 127.0.0.1."
            )

    @property
    def local(self) -> bool:
        """Whether only this machine reaches the page."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"
