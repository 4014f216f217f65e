"""The page that plays a recording beside its curves, in Chromium."""

import base64

import numpy as np
import pytest

from muse.inference.curves import Curves, write_subtitles
from muse.inference.view import write_page
from muse.page import data_block, document, escape
from tests.inference.conftest import tone, write_wav

NAMES = "<script>alert(1)<", "script> #1%.wav"  # a folder and a file in it


@pytest.fixture
def page(tmp_path):
    """The page of ten seconds, valence k / 10 in frame k of half a second."""
    media = write_wav(tmp_path / NAMES[0] / NAMES[1], tone(1, 10))
    values = {"valence": np.float32(np.arange(20) / 10), "<b>x</b>": np.float32(np.zeros(20))}
    curves = Curves(
        "</script><img src=x onerror=alert(1)>", "Stress", media, 500.0 * np.arange(20), 500.0,
        values,
    )  # fmt: skip
    write_page(curves, tmp_path / "out/page.html")
    return tmp_path / "out/page.html"


def test_names_are_text(page):
    text = page.read_text()
    assert "<img" not in text and text.count("<script") == text.count("</script>") == 2
    assert 'src="../%3Cscript%3Ealert%281%29%3C/script%3E%20%231%25.wav"' in text
    assert "<h1>&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;</h1>" in text
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "") and "https:" not in text


def test_texts_of_any_kind():
    assert escape('<a b="c">\udce9') == "&lt;a b=&quot;c&quot;&gt;?"
    assert "</script" not in data_block("x", {"a": "</script>"})[:-10]
    assert "<title>&lt;b&gt;</title>" in document("<b>", "")


def test_it_plays_and_seeks(page, chromium):
    tab = chromium.open(page)
    for width in (400, 1000):
        tab.look(width, dark=width == 400)
        assert tab.run("document.documentElement.scrollWidth") == width
        paper = tab.run("getComputedStyle(document.body).backgroundColor")
        assert paper == {400: "rgb(22, 24, 27)", 1000: "rgb(255, 255, 255)"}[width]
    tab.wait_for("media.readyState > 3")
    assert tab.run("media.duration") == 10
    assert tab.run("document.querySelectorAll('.curve').length") == 2
    assert tab.run("document.querySelectorAll('img, b').length") == 0
    left, top, width = tab.run("(({x, y, width}) => [x, y, width])(chart.getBoundingClientRect())")
    inner = width - 44 - 24  # without the margins of the curves
    at = (
        "new Promise((done) => requestAnimationFrame(() => done([media.currentTime,"
        " +cursor.getAttribute('x1'), +document.querySelector('#legend output').value])))"
    )
    tab.click(left + 44 + inner / 4, top + 50)
    assert tab.run(at) == pytest.approx([2.5, 44 + inner / 4, 0.5], abs=0.06)
    assert tab.run("document.activeElement.id") == "chart"
    tab.press("ArrowRight")
    assert tab.run(at) == pytest.approx([3, 44 + 0.3 * inner, 0.6], abs=0.06)
    tab.press("End")
    assert tab.run(at) == pytest.approx([10, 44 + inner, 1.9], abs=0.06)
    tab.press("Home")
    assert "valence 0.00" in tab.run("chart.getAttribute('aria-valuetext')")
    tab.press(" ")
    tab.wait_for("+cursor.getAttribute('x1') > 45")
    tab.press(" ")
    assert tab.run("media.paused && unplayable.hidden")
    assert tab.errors == []


def test_a_recording_that_cannot_be_played_has_curves_all_the_same(page, tmp_path, chromium):
    (tmp_path / NAMES[0] / NAMES[1]).write_bytes(b"no sound")
    tab = chromium.open(page)
    tab.wait_for("!unplayable.hidden")
    tab.run("chart.focus()")
    tab.press("ArrowRight")
    assert "valence 0.10" in tab.run("chart.getAttribute('aria-valuetext')")


def test_one_frame_and_no_recording(tmp_path, chromium):
    curves = Curves("x", "Stress", None, np.zeros(1), 500.0, {"valence": np.float32([0.25])})
    write_page(curves, tmp_path / "x.html")
    tab = chromium.open(tmp_path / "x.html")
    assert "valence 0.25" in tab.run("chart.getAttribute('aria-valuetext')")
    assert tab.run("document.querySelectorAll('audio, video').length") == 0 and tab.errors == []


def test_chromium_reads_the_subtitles(tmp_path, chromium):
    values = {"a<b> & -->": np.float32([0.5, 0.5, -1])}
    curves = Curves("x", "", None, np.array([0.0, 500, 1000]), 500.0, values)
    write_subtitles(curves, tmp_path / "x.vtt")
    data = base64.b64encode((tmp_path / "x.vtt").read_bytes()).decode()
    track = f'<track id="track" default src="data:text/vtt;base64,{data}">'
    (tmp_path / "x.html").write_text(f"<!doctype html><video>{track}</video>")
    tab = chromium.open(tmp_path / "x.html")
    tab.wait_for("track.readyState > 1")  # loaded, or an error
    cues = tab.run(
        "[...track.track.cues].map((cue) => [cue.startTime, cue.endTime,"
        " cue.getCueAsHTML().textContent])"
    )
    assert cues == [[0, 1, "a<b> & --> 0.50"], [1, 1.5, "a<b> & --> -1.00"]]
