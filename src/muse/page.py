"""Pages to look at: one HTML file each, which needs no network and nothing beside it."""

import html
import json
from pathlib import Path

STYLE = Path(__file__).with_name("page.css")
# what a page may do: show what is in it, play the recording that it links to, and ask whoever has
# served it for news
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
    "media-src 'self' file:; connect-src 'self'"
)


def escape(text: str) -> str:
    """A text, such as the name of a file, as HTML shows it; bytes that are no text are replaced."""
    return html.escape(text.encode("utf-8", "replace").decode())


def document(title: str, body: str, style: str = "", script: str = "") -> str:
    """A whole HTML file, readable on narrow screens and in dark mode.

    Args:
        title: plain text.
        body: HTML, in which all texts are escaped.
        style, script: CSS and JavaScript of this kind of page; no content of files.
    """
    script = f"<script>\n{script}</script>\n" if script else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{STYLE.read_text()}{style}</style>\n</head>\n"
        f"<body>\n{body}{script}</body>\n</html>\n"
    )


def data_block(name: str, content: dict) -> str:
    """JSON for the script of a page, by the id ``name``; nothing in it ends the element."""
    text = json.dumps(content, allow_nan=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>\n'
