"""Annotation files of ELAN (EAF 3.0), the annotation tool of the MPI for Psycholinguistics.

Its schema: http://www.mpi.nl/tools/elan/EAFv3.0.xsd
"""

import mimetypes
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from muse.files import write_file
from muse.inference.curves import Curves
from muse.terminal import printable

TYPE = "value"  # the linguistic type of all tiers: aligned with time, without constraints
XSI = "http://www.w3.org/2001/XMLSchema-instance"
SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"


def write_elan(curves: Curves, path: Path) -> None:
    """A tier per target, its frames of equal value as one annotation; the media by a relative link.

    There is no absolute path in the file, so it can be moved together with the recording.
    """
    root = Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "muse",
            "DATE": datetime.now(UTC).isoformat(timespec="seconds"),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": XSI,
            "xsi:noNamespaceSchemaLocation": SCHEMA,
        },
    )
    header = SubElement(root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    if curves.media:
        link = curves.link(path.parent)
        media = {"MEDIA_URL": link, "MIME_TYPE": _mime(curves), "RELATIVE_MEDIA_URL": link}
        SubElement(header, "MEDIA_DESCRIPTOR", media)
    order = SubElement(root, "TIME_ORDER")
    slots: list[tuple[int, str]] = []  # time, id
    number = 0
    for target in curves.values:
        name = " ".join(printable(target).split())
        tier = SubElement(root, "TIER", {"LINGUISTIC_TYPE_REF": TYPE, "TIER_ID": name})
        texts = [curves.text(target, frame) for frame in range(len(curves.times))]
        for start, end, text in curves.spans(texts):
            number += 1
            first, last = f"ts{2 * number - 1}", f"ts{2 * number}"
            slots += [(start, first), (end, last)]
            about = {"ANNOTATION_ID": f"a{number}", "TIME_SLOT_REF1": first, "TIME_SLOT_REF2": last}
            aligned = SubElement(SubElement(tier, "ANNOTATION"), "ALIGNABLE_ANNOTATION", about)
            SubElement(aligned, "ANNOTATION_VALUE").text = text
    last_id = SubElement(header, "PROPERTY", {"NAME": "lastUsedAnnotationId"})
    last_id.text = str(number)
    for time, slot in sorted(slots, key=lambda item: item[0]):
        SubElement(order, "TIME_SLOT", {"TIME_SLOT_ID": slot, "TIME_VALUE": str(time)})
    kind = {"GRAPHIC_REFERENCES": "false", "LINGUISTIC_TYPE_ID": TYPE, "TIME_ALIGNABLE": "true"}
    SubElement(root, "LINGUISTIC_TYPE", kind)
    ElementTree.indent(root)
    tree = ElementTree.ElementTree(root)
    write_file(path, lambda draft: tree.write(draft, encoding="utf-8", xml_declaration=True))


def _mime(curves: Curves) -> str:
    """The type of the recording as ELAN knows it."""
    if curves.media.suffix.lower() == ".wav":
        return "audio/x-wav"
    kind = "video" if curves.is_video else "audio"
    guessed, _ = mimetypes.guess_type(curves.media.name)
    return guessed if guessed and guessed.startswith(kind) else f"{kind}/*"
