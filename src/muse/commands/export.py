"""`muse export`: a trained model as one file, with a model card."""

from pathlib import Path
from shlex import quote

from muse.config.export import ExportConfig
from muse.config.fields import path_of
from muse.inference.export import export_run
from muse.terminal import counted


def run(config: ExportConfig) -> None:
    """Write the archive `out`; raises MuseError as `muse.inference.export.export_run`."""
    card = export_run(config)
    out = path_of(config.out)
    mark = ", SYNTHETIC data" if card["synthetic"] else ""
    print(f"{card['title']}{mark}: {out}, {_size(out)}")
    models = counted(len(card["files"]), "model")
    onnx = f", {counted(len(card['onnx']['files']), 'ONNX file')}" if card["onnx"] else ""
    named = "predictions, which name recordings" if card["predictions"] else "no recording is named"
    print(f"  {models}{onnx}, MODEL_CARD.md; {named}. Licence: {card['licence']}.")
    model = quote(f"model={out.name}")
    print(f"Use it anywhere with: muse predict {model} data.root=DATA out=FOLDER")


def _size(path: Path) -> str:
    size = path.stat().st_size
    return f"{size / 2**20:.1f} MB" if size >= 2**20 else f"{size / 2**10:.0f} kB"
