"""Archives of files: written so that equal files give equal bytes, read as files of a stranger.

An archive is data. Before anything is unpacked its list of entries is checked: names stay inside
the folder, entries are plain files, and sizes are bounded. What is unpacked cannot be larger than
what the list says.
"""

import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from muse.errors import MuseError
from muse.files import check_regular, write_file
from muse.temporary import temporary_folder

MOST_ENTRIES = 50_000
MOST_BYTES = 2**35  # of all entries
MOST_TEXT = 2**27  # bytes of an entry that is neither weights nor an ONNX file
MOST_TIMES = 200  # that all entries may be larger than the archive; JSON is about 10 times
LARGE = (".safetensors", ".onnx")
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
AGAIN = "Copy the archive again, or ask for it anew."


def write_archive(path: Path, files: Mapping[str, Path]) -> None:
    """Write a zip archive in one step; the entries have no time of their own.

    Args:
        files: name of the entry -> file.
    """

    def write(draft: Path) -> None:
        with zipfile.ZipFile(draft, "w") as archive:
            for name, file in sorted(files.items()):
                entry = zipfile.ZipInfo(name)
                entry.create_system = 3  # Unix, whatever writes it
                entry.external_attr = (stat.S_IFREG | 0o644) << 16
                entry.file_size = file.stat().st_size  # by which zip64 is chosen
                dense = file.suffix in LARGE
                entry.compress_type = zipfile.ZIP_STORED if dense else zipfile.ZIP_DEFLATED
                with file.open("rb") as source, archive.open(entry, "w") as target:
                    shutil.copyfileobj(source, target, 2**20)

    write_file(path, write)


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """A temporary folder with the files of an archive; it goes with the end of the block.

    Raises MuseError, which names the archive and the entry, for one that is damaged or unsafe.
    """
    check_regular(path, "Expected an archive of `muse export`.")
    with temporary_folder() as home:
        try:
            with zipfile.ZipFile(path) as archive:
                entries = archive.infolist()
                _check_entries(path, entries)
                for entry in entries:
                    _unpack(path, archive, entry, home / entry.filename)
        except zipfile.BadZipFile as error:
            raise MuseError(f"{path}: no zip archive, or damaged ({error}). {AGAIN}") from None
        except (OSError, ValueError, NotImplementedError) as error:
            reason = getattr(error, "strerror", None) or error
            raise MuseError(f"{path}: cannot be read ({reason}). {AGAIN}") from None
        yield home


def _check_entries(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    """Raise MuseError unless all entries are plain files inside the folder, of bounded size."""
    if len(entries) > MOST_ENTRIES:
        raise MuseError(f"{path}: has {len(entries)} entries; expected at most {MOST_ENTRIES}.")
    seen: set[str] = set()
    for entry in entries:
        name = entry.orig_filename  # as it is in the archive: `filename` ends at a NUL
        kind = stat.S_IFMT(entry.external_attr >> 16)
        reason = ""
        if not _stays_inside(name):
            reason = "its name leads out of the archive, or is no plain name"
        elif name.lower() in seen:
            reason = "it is there twice"
        elif kind not in (0, stat.S_IFREG):
            reason = "it is a link or a special file; expected plain files"
        elif entry.flag_bits & 1:
            reason = "it is encrypted"
        elif entry.compress_type not in METHODS:
            reason = f"its compression method is {entry.compress_type}; expected deflate or none"
        elif entry.file_size > MOST_TEXT and not name.endswith(LARGE):
            reason = f"it has {entry.file_size} bytes; expected at most {MOST_TEXT}"
        if reason:
            raise MuseError(f"{path}, entry {name!r}: {reason}. The archive is not used.")
        seen.add(name.lower())
    for name in seen:
        above = next((str(p) for p in PurePosixPath(name).parents if str(p) in seen), None)
        if above:
            raise MuseError(
                f"{path}, entry {name!r}: {above!r} is a file. The archive is not used."
            )
    total, most = sum(entry.file_size for entry in entries), MOST_TIMES * path.stat().st_size
    if total > min(MOST_BYTES, most):
        raise MuseError(
            f"{path}: its {len(entries)} entries would take {total} bytes unpacked; expected at "
            f"most {min(MOST_BYTES, most)} of an archive of its size. It is not used."
        )


def _stays_inside(name: str) -> bool:
    """Whether a name is a relative path, on any system, without `.`, `..` or empty parts."""
    parts = name.split("/")
    plain = re.fullmatch(r"[^\\:\x00-\x1f\x7f]+", name)
    return bool(plain) and not {"", ".", ".."} & set(parts)


def _unpack(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, out: Path) -> None:
    """Write an entry to a new file. Its checksum is compared at its end."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(entry) as source, out.open("xb") as target:
            shutil.copyfileobj(source, target, 2**20)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        reason = str(error) or "it ends too early"
        raise MuseError(f"{path}, entry {entry.filename!r}: damaged ({reason}). {AGAIN}") from None
    if out.stat().st_size != entry.file_size:
        raise MuseError(f"{path}, entry {entry.filename!r}: damaged, it ends too early. {AGAIN}")
