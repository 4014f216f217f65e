"""Raters' files on common frames: units, offsets, gaps, unequal lengths, and what is refused."""

import numpy as np
import pytest

from muse.errors import MuseError
from muse.gold.frames import resample
from muse.gold.raters import raters_by_id, read_ratings
from tests.gold.conftest import write_raters

NAN = float("nan")


@pytest.fixture
def read(make_config, tmp_path):
    """read("unit=s", ...) -> the ratings in the folder `raters`."""

    def read_with(*words: str):
        folders = (f"raters={tmp_path / 'raters'}", f"out={tmp_path / 'out'}")
        return read_ratings(make_config("gold", *folders, *words))

    return read_with


def test_unit_and_offset(read, tmp_path):
    write_raters(tmp_path / "raters/2.csv", [0.5, 1, 1.5], {"a": [1, 2, 3], "b": [4, 5, 6]})
    write_raters(tmp_path / "raters/10.csv", [1, 1.5, 2], {"a": [1, 2, 3], "b": [4, 5, 6]})
    two, ten = read("unit=s", "offset=-0.5")
    assert (two.id, ten.id, two.raters) == ("2", "10", ["a", "b"])
    assert two.frames.times.tolist() == [0, 500, 1000] and two.frames.step == 0.5
    assert ten.frames.times.tolist() == [500, 1000, 1500]
    assert two.values.tolist() == [[1, 2, 3], [4, 5, 6]] and not two.notes
    assert "begin at -500 ms; is offset right?" in read("unit=s", "offset=-1")[0].notes[0]
    with pytest.raises(MuseError, match=r"a row every 30 s by the unit of the timestamps"):
        read("unit=min", "offset=60")
    (two, _) = read("unit=min", "offset=60", "step=30")
    assert two.frames.times.tolist() == [90_000, 120_000, 150_000]


def test_gaps_are_interpolated_with_a_warning(read, tmp_path):
    write_raters(
        tmp_path / "raters/1.csv", [0, 1, 2, 3, 4], {"a": [0.0, NAN, NAN, 3, 4], "b": [1] * 5}
    )
    (found,) = read("unit=s")
    assert found.values[0].tolist() == [0, 1, 2, 3, 4]
    assert len(found.notes) == 1
    assert "1.csv: rater a: 1 gap is interpolated, 3 s at most." in found.notes[0]
    (found,) = read("unit=s", "max_gap=2")
    assert found.raters == ["b"]
    assert "rater a has a gap of 3 s (max_gap=2); left out of this recording." in found.notes[0]
    assert "rater b is the only one" in found.notes[1]


def test_rows_that_are_missing_are_a_gap(read, tmp_path):
    write_raters(tmp_path / "raters/1.csv", [0, 1, 2, 5, 6], {"a": [0, 1, 2, 5, 6], "b": [0] * 5})
    (found,) = read("unit=s")
    assert found.frames.times.tolist() == [0, 1000, 2000, 3000, 4000, 5000, 6000]
    assert found.values[0].tolist() == [0, 1, 2, 3, 4, 5, 6] and "3 s at most" in found.notes[0]


def test_unequal_lengths(read, tmp_path):
    columns = {"a": [NAN, 1, 2, 3, 4], "b": [5.0, 6, 7, 8, NAN]}
    write_raters(tmp_path / "raters/1.csv", [0, 1, 2, 3, 4], columns)
    (found,) = read("unit=s")
    assert found.frames.times.tolist() == [1000, 2000, 3000]
    assert found.values.tolist() == [[1, 2, 3], [6, 7, 8]]
    assert "begin or end up to 1 s apart; cut to 1 to 3 s" in found.notes[0]
    (found,) = read("unit=s", "ends=hold")
    assert found.values.tolist() == [[1, 1, 2, 3, 4], [5, 6, 7, 8, 8]]
    assert "values are held" in found.notes[0]


def test_irregular_times_get_regular_frames(read, tmp_path):
    times = [0.1, 1.0, 2.2, 2.9, 4.0]
    write_raters(tmp_path / "raters/1.csv", times, {"a": times, "b": [1] * 5})
    (found,) = read("unit=s", "step=1")
    assert found.frames.times.tolist() == [0, 1000, 2000, 3000, 4000]
    assert found.values[0].tolist() == pytest.approx([0.1, 1, 2, 3, 4], abs=1e-6)


def test_rows_that_are_almost_regular_keep_their_times(read, tmp_path):
    times = [0.033, 0.067, 0.1, 0.134, 0.166, 0.2]  # 30 per second, in whole milliseconds
    write_raters(tmp_path / "raters/1.csv", times, {"a": range(6), "b": [1] * 6})
    (found,) = read("unit=s")
    assert found.frames.times.tolist() == [33, 67, 100, 134, 166, 200]
    assert found.values[0].tolist() == [0, 1, 2, 3, 4, 5]
    (found,) = read("unit=s", "step=0.035")
    assert found.frames.times.tolist() == [35, 70, 105, 140, 175, 210]


def test_a_faster_trace_is_averaged_over_each_frame():
    times, frames = np.arange(12.0), np.array([0.0, 4, 8])
    # frames of 4: -2 to 2 has 0, 1; 2 to 6 has 2..5; 6 to 10 has 6..9
    assert resample(times, times, frames).tolist() == [0.5, 3.5, 7.5]
    ripple = np.where(np.arange(400) % 2, 1.0, -1.0)
    slow = resample(np.arange(400.0), ripple, np.arange(0, 400, 10.0))
    assert np.abs(slow[1:]).max() < 1e-9


def test_labels_at_the_rows_of_a_feature_set(read, tmp_path):
    write_raters(tmp_path / "raters/1.csv", [0, 1, 2, 3], {"a": [0, 2, 4, 6], "b": [1] * 4})
    path = tmp_path / "features/1.csv"
    write_raters(path, [500, 1500, 2500], {"segment_id": [1.0, NAN, 2], "f": [0, 0, 0]})
    (found,) = read("unit=s", f"rows={path.parent}")
    assert found.frames.times.tolist() == [500, 1500, 2500]
    assert found.values[0].tolist() == [1, 3, 5]
    assert np.array_equal(found.frames.segments, [1, NAN, 2], equal_nan=True)
    write_raters(path, [500, 1500, 2500, 9500], {"f": [0] * 4})
    with pytest.raises(MuseError, match="row 5: not all raters have values there"):
        read("unit=s", f"rows={path.parent}")
    (found,) = read("unit=s", f"rows={path.parent}", "ends=hold")
    assert found.values[0].tolist() == [1, 3, 5, 6] and found.frames.segments is None
    path.unlink()
    with pytest.raises(MuseError, match=r"1\.csv: the file is missing. `rows` needs one"):
        read("unit=s", f"rows={path.parent}")


def test_segments(read, tmp_path):
    write_raters(tmp_path / "raters/1.csv", [0, 1, 2, 3], {"a": [0, 2, 4, 6], "b": [1] * 4})
    path = tmp_path / "segments/1.csv"
    path.parent.mkdir()

    def found(text: str):
        path.write_text("start,end,segment_id,note\n" + text)
        return read("unit=s", f"segments={path.parent}")[0].frames.segments

    assert np.array_equal(found("0,1000,7\n1000,2500,8,x\n"), [7, 8, 8, NAN], equal_nan=True)
    with pytest.raises(MuseError, match="row 2: the segment from 5000 to 6000 ms lies outside"):
        found("5000,6000,1\n")
    with pytest.raises(MuseError, match="row 2: the segment ends at 0 ms and starts at 1000 ms"):
        found("1000,0,1\n")
    columns = {"a": [0, 2, 4, 6, 8], "b": [1.0, 1, NAN, NAN, NAN]}
    write_raters(tmp_path / "raters/1.csv", [0, 1, 2, 3, 4], columns)
    with pytest.raises(MuseError, match=r"has frames from 0 to 1000 ms.*ends=hold") as caught:
        found("0,4500,1\n")
    assert "raters begin or end up to 3 s apart; cut to 0 to 1 s" in str(caught.value)
    (hold,) = read("unit=s", f"segments={path.parent}", "ends=hold")
    assert hold.frames.segments.tolist() == [1] * 5


def test_a_rater_with_several_ids(read, tmp_path):
    write_raters(tmp_path / "raters/1.csv", [0, 1, 2], {"a": [0, 1, 2], "b": [1, 2, 3]})
    write_raters(tmp_path / "raters/2.csv", [0, 1, 2], {"4": [0, 1, 2], "b": [1, 2, 3]})
    assert read("unit=s", "ids={4:a}")[1].raters == ["a", "b"]
    path = tmp_path / "ids.csv"
    path.write_text("id,rater\n4,anna\na,anna\n")
    assert [r.raters[0] for r in read("unit=s", f"ids={path}")] == ["anna", "anna"]
    assert raters_by_id(None) == {}
    with pytest.raises(MuseError, match="ids: no file has a column 9"):
        read("unit=s", "ids={9:a}")
    with pytest.raises(MuseError, match="columns a and b are both of the rater c"):
        read("unit=s", "ids={a:c,b:c}")
    path.write_text("id\n4\n")
    with pytest.raises(MuseError, match="expected a header id,rater"):
        read("unit=s", f"ids={path}")
    path.write_text("id,rater\n4,a\n4,b\n")
    with pytest.raises(MuseError, match="row 3: expected an id, each once"):
        read("unit=s", f"ids={path}")


def test_columns_and_raters_left_out(read, tmp_path):
    columns = {"frame": [1, 2, 3], "a": [0, 1, 2], "4": [3, 4, 4]}
    write_raters(tmp_path / "raters/1.csv", [0, 1, 2], columns)
    (found,) = read("unit=s", "ids={4:d}", "leave_out=[frame]")
    assert found.raters == ["a", "d"] and found.values[1].tolist() == [3, 4, 4]
    (found,) = read("unit=s", "ids={4:d}", "leave_out=[frame,d]")
    assert found.raters == ["a"]
    with pytest.raises(MuseError, match=r"leave_out: no file has a column fram\. Did you mean"):
        read("unit=s", "leave_out=fram")
    with pytest.raises(MuseError, match="no rater is left"):
        read("unit=s", "leave_out=[frame,a,4]")


GOOD = "timestamp,a,b\n0,1,2\n0.5,2,3\n1,3,4\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("2,3", "2,high"), "row 3, column b: 'high' is not a number"),
        (GOOD.replace("0.5,", "1.5,"), "row 4: timestamp 1 runs backwards from 1.5"),
        (GOOD.replace("0.5,", "0,"), "row 3: timestamp 0 repeats 0"),
        (GOOD.replace("timestamp", "time"), "no column timestamp; row 1 has the columns time, a"),
        (GOOD.replace(",", ";"), "the columns are separated by semicolons; expected commas"),
        (GOOD.replace("a,b", ",b"), "column 2 has no name. If it is the number of the row"),
        (GOOD.replace("a,b", "a,a"), "two columns are called 'a'"),
        (GOOD.replace("0.5,", ","), "row 3 has no timestamp"),
        (GOOD.replace("2,3", "2,inf"), "the value is infinite"),
        (GOOD.replace(",3\n", "\n"), "row 3 has 2 of 3 fields"),
        ("", "the file is empty"),
        ("timestamp,a\n", "a header and no rows"),
        ("timestamp,a\n0,1\n", "a single row; expected two frames or more"),
        ("timestamp\n1\n2\n", "no column beside timestamp"),
        (GOOD.replace(",2\n", ",\n").replace(",3\n", ",\n").replace(",4", ",")
         .replace(",1,", ",,").replace(",2,", ",,").replace(",3,", ",,"),
         "no rater is left (rater a has no values; left out of this recording"),
        ("timestamp,a,b\n0,1,\n1,2,\n2,,3\n3,,4\n", "the raters share no two frames"),
    ],
)  # fmt: skip
def test_what_is_refused(read, tmp_path, text, message):
    path = tmp_path / "raters/7.csv"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(MuseError) as caught:
        read("unit=s")
    assert message in str(caught.value) and "7" in str(caught.value)


def test_an_empty_column_is_left_out_with_a_warning(read, tmp_path):
    write_raters(tmp_path / "raters/1.csv", [0, 1], {"a": [0, 1], "b": [NAN] * 2, "c": [1, 2]})
    (found,) = read("unit=s")
    assert found.raters == ["a", "c"]
    assert "rater b has no values; left out of this recording." in found.notes[0]


def test_all_faults_at_once(read, tmp_path):
    for name in ("1", "2"):
        write_raters(tmp_path / f"raters/{name}.csv", [1, 0], {"a": [0, 1]})
    with pytest.raises(MuseError) as caught:
        read("unit=s")
    assert len(caught.value.faults) == 2


def test_units_and_rates_that_cannot_be(read, make_config, tmp_path):
    write_raters(tmp_path / "raters/1.csv", [0, 0.5, 1], {"a": [0, 1, 2]})
    with pytest.raises(MuseError, match=r"a row every 0\.0005 s by the unit.*Is the unit right"):
        read("unit=ms")
    with pytest.raises(MuseError, match=r"unit=sec: expected one of ms, s, min\."):
        read("unit=sec")
    with pytest.raises(MuseError, match="no value for unit"):
        read()
    write_raters(tmp_path / "raters/2.csv", [0, 0.25, 0.5], {"a": [0, 1, 2]})
    write_raters(tmp_path / "raters/3.csv", [0, 0.5, 1], {"a": [0, 1, 2]})
    with pytest.raises(MuseError, match=r"2\.csv: a row every 0\.25 s, the other files every 0\.5"):
        read("unit=s")
    assert read("unit=s", "step=0.5")[1].frames.times.tolist() == [0, 500]
    with pytest.raises(MuseError, match="there is no such folder"):
        read_ratings(make_config("gold", "raters=nowhere", "unit=s", "out=x"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(MuseError, match=r"no CSV files; expected one per recording\.$"):
        read_ratings(make_config("gold", f"raters={tmp_path / 'empty'}", "unit=s", "out=x"))
    with pytest.raises(MuseError, match="Its folders raters have some; give one of them"):
        read_ratings(make_config("gold", f"raters={tmp_path}", "unit=s", "out=x"))
