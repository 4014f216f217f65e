"""Segments of a recording: limits in ms, or the column segment_id."""

import numpy as np
import pytest

from muse.data.recordings import Recording
from muse.data.segments import (
    Segment,
    read_limits,
    segment_ids,
    segments_by_id,
    segments_by_limits,
)
from muse.errors import MuseError

NAN = np.nan
TIMES = np.arange(6) * 500.0  # ms


def recording(ids, step: float = 500) -> Recording:
    count = len(ids)
    rows = np.arange(count)
    samples = np.array([[0, count]])
    return Recording("7", rows, rows * step, np.array(ids, float), [], {}, samples, [])


def test_runs_of_a_segment_id(tmp_path):
    found = segments_by_id(tmp_path, recording([NAN, 4, 4, NAN, NAN, 2, 9, 9, 9]))
    assert found == [Segment(4, 1, 3), Segment(2, 5, 6), Segment(9, 6, 9)]
    assert np.array_equal(segment_ids(found, 9), [NAN, 4, 4, NAN, NAN, 2, 9, 9, 9], equal_nan=True)


def test_a_segment_that_begins_again(tmp_path):
    with pytest.raises(MuseError, match="recording 7, row 6: segment 1 begins again"):
        segments_by_id(tmp_path, recording([1, 1, 2, NAN, 1]))
    with pytest.raises(MuseError, match="recording 7 has no segment_id in any row"):
        segments_by_id(tmp_path, recording([NAN, NAN]))


def write(path, *rows: str):
    path.write_text("\n".join(rows) + "\n")
    return path


def test_limits_take_the_frames_from_start_to_before_the_end(tmp_path):
    """Columns in any order, more of them than needed, rows in any order, as in real files."""
    path = write(tmp_path / "7.csv", "segment_id,start,end,class_id", "2,1000,2100,", "1,0,1000")
    limits = read_limits(path)
    assert [(limit.id, limit.row) for limit in limits] == [(1, 3), (2, 2)]
    found = segments_by_limits(path, TIMES)
    assert found == [Segment(1, 0, 2), Segment(2, 2, 5)]  # frames at 1000, 1500, 2000
    assert segment_ids(found, 6)[:5].tolist() == [1, 1, 2, 2, 2]


def test_limits_may_reach_over_the_ends_by_a_frame(tmp_path):
    path = write(tmp_path / "7.csv", "start,end,segment_id", "-500,3000,1")
    assert segments_by_limits(path, TIMES) == [Segment(1, 0, 6)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0,3001,1", "row 2: the segment from 0 to 3001 ms lies outside recording 7, which has"),
        ("-501,900,1", "lies outside recording 7"),
        ("90000,95000,1", "lies outside recording 7"),
        ("0.1,0.4,1", "row 2: the segment from 0.1 to 0.4 ms has no frame of recording 7"),
    ],
)
def test_limits_outside_the_recording(tmp_path, row, message):
    path = write(tmp_path / "7.csv", "start,end,segment_id", row)
    with pytest.raises(MuseError, match=message):
        segments_by_limits(path, TIMES)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "7.csv: the file is empty. Every recording needs its segments: start,end,segment_id"),
        (
            ["start;end;segment_id", "0;5;1"],
            "the columns are separated by semicolons; expected commas",
        ),
        (["start,end", "0,1"], "expected one column segment_id"),
        (["start,end,segment_id"], "7.csv: no segments"),
        (["start,end,segment_id", "a,1,1"], "row 2, column start: 'a' is not a number"),
        (["start,end,segment_id", "0,,1"], "row 2, column end: '' is not a number"),
        (["start,end,segment_id", "0,inf,1"], "row 2, column end: 'inf' is not a number"),
        (["start,end,segment_id", "5,5,1"], "row 2: the segment ends at 5 ms and starts at 5 ms"),
        (["start,end,segment_id", "0,5,1", "5,9,1"], "row 3: segment_id 1 is also that of row 2"),
        (["start,end,segment_id", "4,9,2", "0,5,1"], "row 2: the segment from 4 ms begins before"),
    ],
)
def test_faults_of_a_file_of_limits(tmp_path, rows, message):
    with pytest.raises(MuseError, match=message):
        read_limits(write(tmp_path / "7.csv", *rows))


def test_all_faults_at_once(tmp_path):
    path = write(tmp_path / "7.csv", "start,end,segment_id", "a,1,1", "9,8,2", "0,5,3", "4,6,3")
    with pytest.raises(MuseError) as caught:
        read_limits(path)
    assert len(caught.value.faults) == 4
    with pytest.raises(MuseError, match=r"8.csv: the file is missing"):
        read_limits(tmp_path / "8.csv")
