"""Subtitles and ELAN files of curves made by hand."""

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from muse.inference.curves import Curves, write_subtitles
from muse.inference.elan import write_elan

PIECE = r"(\d\d:)?\d\d:\d\d\.\d{3}"  # https://www.w3.org/TR/webvtt1/: hours may be left out


def by_hand(media: Path | None = None, second: str = "arousal") -> Curves:
    """Four frames of 250 ms from 59.5 s on; the first value of two frames is the same."""
    times = 59500 + 250.0 * np.arange(4)
    values = {"valence": np.float32([0.101, 0.104, -0.001, 1]), second: np.float32([0, 0, 0, -1])}
    return Curves("talk", "MuSe-Stress 2021, loud", media, times, 250.0, values)


def test_subtitles(tmp_path):
    write_subtitles(by_hand(second="a<b> & --> c"), tmp_path / "talk.vtt")
    text = (tmp_path / "talk.vtt").read_text()
    name = "a&lt;b&gt; &amp; --&gt; c"
    assert text == (
        f"WEBVTT\n\n00:00:59.500 --> 00:01:00.000\nvalence 0.10\n{name} 0.00\n\n"
        f"00:01:00.000 --> 00:01:00.250\nvalence 0.00\n{name} 0.00\n\n"
        f"00:01:00.250 --> 00:01:00.500\nvalence 1.00\n{name} -1.00\n"
    )
    head, *cues = text.split("\n\n")
    assert head == "WEBVTT"
    for cue in cues:
        timing, *payload = cue.strip().split("\n")
        assert re.fullmatch(rf"{PIECE} --> {PIECE}", timing)
        assert payload and not any("-->" in line for line in payload)


# the elements of EAF 3.0 that may be in these files: attributes that must be there, others that
# may, and the elements inside in their order (http://www.mpi.nl/tools/elan/EAFv3.0.xsd)
SCHEMA = {
    "ANNOTATION_DOCUMENT": ({"DATE", "AUTHOR", "VERSION"}, {"FORMAT"},
                            ["LICENSE", "HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE"]),
    "HEADER": (set(), {"MEDIA_FILE", "TIME_UNITS"},
               ["MEDIA_DESCRIPTOR", "LINKED_FILE_DESCRIPTOR", "PROPERTY"]),
    "MEDIA_DESCRIPTOR": ({"MEDIA_URL", "MIME_TYPE"},
                         {"RELATIVE_MEDIA_URL", "TIME_ORIGIN", "EXTRACTED_FROM"}, []),
    "PROPERTY": (set(), {"NAME"}, []),
    "TIME_ORDER": (set(), set(), ["TIME_SLOT"]),
    "TIME_SLOT": ({"TIME_SLOT_ID"}, {"TIME_VALUE"}, []),
    "TIER": ({"TIER_ID", "LINGUISTIC_TYPE_REF"}, {"PARTICIPANT", "ANNOTATOR", "PARENT_REF"},
             ["ANNOTATION"]),
    "ANNOTATION": (set(), set(), ["ALIGNABLE_ANNOTATION"]),
    "ALIGNABLE_ANNOTATION": ({"ANNOTATION_ID", "TIME_SLOT_REF1", "TIME_SLOT_REF2"}, {"SVG_REF"},
                             ["ANNOTATION_VALUE"]),
    "ANNOTATION_VALUE": (set(), set(), []),
    "LINGUISTIC_TYPE": ({"LINGUISTIC_TYPE_ID"},
                        {"TIME_ALIGNABLE", "CONSTRAINTS", "GRAPHIC_REFERENCES"}, []),
}  # fmt: skip
ONCE = {"HEADER", "TIME_ORDER", "ALIGNABLE_ANNOTATION", "ANNOTATION_VALUE"}


def check_eaf(path: Path) -> ElementTree.Element:
    """The root of a file that has the structure of EAF 3.0, its keys and references."""
    root = ElementTree.parse(path).getroot()
    assert root.tag == "ANNOTATION_DOCUMENT" and root.get("FORMAT") == "3.0"
    for element in root.iter():
        needed, allowed, inside = SCHEMA[element.tag]
        names = {name for name in element.keys() if not name.startswith("{")}  # noqa: SIM118
        assert needed <= names <= needed | allowed, element.tag
        tags = [child.tag for child in element]
        assert tags == sorted(tags, key=inside.index), element.tag
        assert all(tags.count(tag) == 1 for tag in ONCE & set(inside)), element.tag
    slots = {s.get("TIME_SLOT_ID"): int(s.get("TIME_VALUE")) for s in root.iter("TIME_SLOT")}
    assert len(slots) == len(list(root.iter("TIME_SLOT")))
    assert list(slots.values()) == sorted(slots.values()) and min(slots.values()) >= 0
    ids = [*slots, *(a.get("ANNOTATION_ID") for a in root.iter("ALIGNABLE_ANNOTATION"))]
    assert len(set(ids)) == len(ids) and all(re.fullmatch(r"[A-Za-z_][\w.-]*", i) for i in ids)
    types = {kind.get("LINGUISTIC_TYPE_ID") for kind in root.iter("LINGUISTIC_TYPE")}
    tiers = [tier.get("TIER_ID") for tier in root.iter("TIER")]
    assert len(set(tiers)) == len(tiers)
    for tier in root.iter("TIER"):
        assert tier.get("LINGUISTIC_TYPE_REF") in types
        end = 0
        for aligned in tier.iter("ALIGNABLE_ANNOTATION"):
            start = slots[aligned.get("TIME_SLOT_REF1")]
            assert start >= end, "annotations of a tier must not overlap"
            end = slots[aligned.get("TIME_SLOT_REF2")]
            assert end > start
    pattern = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)"  # of xsd:dateTime
    assert re.fullmatch(pattern, root.get("DATE"))
    return root


@pytest.mark.parametrize(
    ("name", "kind"), [("a b&c.wav", "audio/x-wav"), ("x.mp4", "video/mp4"), ("x.mts", "video/*")]
)
def test_elan(tmp_path, name, kind):
    write_elan(by_hand(tmp_path / "media" / name, "a<&>"), tmp_path / "out/talk.eaf")
    root = check_eaf(tmp_path / "out/talk.eaf")
    media = root.find("HEADER/MEDIA_DESCRIPTOR")
    link = {"a b&c.wav": "../media/a%20b%26c.wav"}.get(name, f"../media/{name}")
    assert media.attrib == {"MEDIA_URL": link, "RELATIVE_MEDIA_URL": link, "MIME_TYPE": kind}
    slots = {s.get("TIME_SLOT_ID"): int(s.get("TIME_VALUE")) for s in root.iter("TIME_SLOT")}
    tiers = {
        tier.get("TIER_ID"): [
            (slots[a.get("TIME_SLOT_REF1")], slots[a.get("TIME_SLOT_REF2")], a[0].text)
            for a in tier.iter("ALIGNABLE_ANNOTATION")
        ]
        for tier in root.iter("TIER")
    }
    assert tiers == {
        "valence": [(59500, 60000, "0.10"), (60000, 60250, "0.00"), (60250, 60500, "1.00")],
        "a<&>": [(59500, 60250, "0.00"), (60250, 60500, "-1.00")],
    }
    assert str(tmp_path) not in (tmp_path / "out/talk.eaf").read_text()


def test_elan_without_sound_or_film(tmp_path):
    write_elan(by_hand(), tmp_path / "talk.eaf")
    assert check_eaf(tmp_path / "talk.eaf").find("HEADER/MEDIA_DESCRIPTOR") is None
