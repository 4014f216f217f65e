"""A page that plays a recording beside its curves."""

from pathlib import Path

import numpy as np

from muse.files import write_text
from muse.inference.curves import Curves
from muse.page import data_block, document, escape

HERE = Path(__file__).parent
KEYS = (
    "Click or drag in the curves to move. With the keyboard (Tab to the curves): arrow keys move "
    "by a frame, with Shift by ten, Home and End to both ends; Space plays and pauses."
)


def write_page(curves: Curves, path: Path) -> None:
    """One HTML file, which links to the recording where it is."""
    data = {
        "times": np.round(curves.times / 1000, 3).tolist(),
        "step": curves.step / 1000,
        "curves": [
            {"name": target, "values": [round(v, 4) for v in values.tolist()]}
            for target, values in curves.values.items()
        ],
    }
    style, script = (HERE.joinpath(f"view.{kind}").read_text() for kind in ("css", "js"))
    write_text(path, document(curves.id, _body(curves, path) + data_block("data", data),
                              style, script))  # fmt: skip


def _body(curves: Curves, path: Path) -> str:
    legend = "".join(
        f'<li><svg viewBox="0 0 32 12" aria-hidden="true"><line x1="0" x2="32" y1="6" y2="6" '
        f'class="k{k % 6}" stroke-width="2.5"/></svg>{escape(target)} '
        f"<output></output></li>\n"
        for k, target in enumerate(curves.values)
    )
    return (
        f"<main>\n<h1>{escape(curves.id)}</h1>\n"
        f'<p class="faint">{escape(curves.about)}. Predictions of a model, '
        f"{curves.step / 1000:g} s a frame.</p>\n{_player(curves, path)}"
        f'<ul id="legend">\n{legend}</ul>\n'
        '<div id="chart" role="slider" tabindex="0" aria-label="Position in the recording" '
        'aria-valuemin="0" aria-valuemax="0" aria-valuenow="0"></div>\n'
        f'<p class="faint"><span id="clock"></span>. {KEYS}</p>\n</main>\n'
    )


def _player(curves: Curves, path: Path) -> str:
    if not curves.media:
        return ""
    kind, link = "video" if curves.is_video else "audio", escape(curves.link(path.parent))
    return (
        f'<{kind} id="media" src="{link}" controls preload="metadata"></{kind}>\n'
        f'<p id="unplayable" hidden>This browser cannot play <a href="{link}">'
        f"{escape(curves.media.name)}</a>, or it is not where it was; the curves are below.</p>\n"
    )
