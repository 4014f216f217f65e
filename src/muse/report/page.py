"""The page: an HTML file with its data, its script, and uPlot, by which it draws."""

from pathlib import Path

from muse.page import data_block, document

HERE = Path(__file__).parent
UPLOT = HERE / "uplot"  # see the README there
BODY = """<header>
<h1>muse report</h1>
<p id="made" class="faint"></p>
<p id="state" role="status"></p>
</header>
<noscript><p>This page is drawn by a script, which the browser has switched off.</p></noscript>
<main id="report"></main>
"""


def page(content: dict) -> str:
    """The HTML of a page, see `muse.report.collect.collect`."""
    style = (UPLOT / "uPlot.min.css").read_text() + (HERE / "report.css").read_text()
    licence = (UPLOT / "LICENSE").read_text()
    uplot = f"/*!\n{licence}*/\n{(UPLOT / 'uPlot.iife.min.js').read_text()}\n"
    script = uplot + (HERE / "report.js").read_text()
    return document("muse report", BODY + data_block("data", content), style, script)
