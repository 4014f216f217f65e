"""What spreadsheets write instead of comma-separated values in UTF-8."""

from pathlib import Path

from muse.errors import MuseError

SEPARATORS = {b";": "semicolons", b"\t": "tabs"}
STARTS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"PK\3\4": "a workbook"}


def refuse_other_formats(path: Path, data: bytes) -> None:
    """Raise MuseError, with the remedy, if the content ``data`` of a file is no CSV of ours."""
    for start, name in STARTS.items():
        if data.startswith(start):
            raise MuseError(
                f"{path}: {name}, not a CSV file in UTF-8. Save it as one: 'CSV UTF-8' in Excel."
            )
    header = data.partition(b"\n")[0]
    for separator, name in SEPARATORS.items():
        if separator in header and b"," not in header:
            raise MuseError(
                f"{path}: the columns are separated by {name}; expected commas, and points in "
                f"numbers. In pandas: read_csv({path.name!r}, sep={separator.decode()!r}, "
                "decimal=',').to_csv(..., index=False)"
            )
