"""What is no table of numbers is refused, with the file and the row."""

from pathlib import Path

import numpy as np
import pytest

from muse.data.csv_table import parse_table
from muse.errors import MuseError

PATH = Path("package/feature_segments/a/7.csv")


def test_values_are_float32_and_rows_keep_their_place():
    table = parse_table(PATH, b"timestamp,segment_id,x,y\n0,1,0.1,-2e-3\n500,,3,\n1000,2,4,5\n")
    assert table.columns == ["x", "y"]
    assert table.values.dtype == np.float32
    expected = np.array([[0.1, -2e-3], [3, np.nan], [4, 5]], np.float32)
    np.testing.assert_array_equal(table.values, expected)
    np.testing.assert_array_equal(table.timestamps, [0, 500, 1000])
    np.testing.assert_array_equal(table.segments, [1, np.nan, 2])


def test_columns_are_found_by_name_with_bom_and_windows_line_ends():
    table = parse_table(PATH, "\ufeffsegment_id,class_id\r\n3,0\r\n4,1\r\n".encode())
    assert table.columns == ["class_id"]
    assert table.values[:, 0].tolist() == [0, 1]
    assert np.isnan(table.timestamps).all()


@pytest.mark.parametrize(
    "text",
    [
        "0.000001234567890123",  # as many zeros as pandas' fast parser just about reads
        "0.00000000000000012345678901",
        "-0.0000000000000000000000000000012345678",
        "0.00000000000000000000000",
        "1.234567890123e-30",
    ],
)
def test_small_numbers_keep_their_digits(text):
    table = parse_table(PATH, f"timestamp,segment_id,x\n{text.strip('-')},1,{text}\n".encode())
    assert table.timestamps[0] == float(text.strip("-"))
    assert table.values[0, 0] == np.float32(text)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b" \n\n", "the file is empty"),
        (b"timestamp,segment_id,x\n", "a header and no rows"),
        (b"timestamp,segment_id\n0,1\n", "no column beside timestamp and segment_id"),
        (b"timestamp,segment_id,x\n0,1,1\n500,1,abc\n", "row 3, column x: 'abc' is not a number"),
        (b"timestamp,segment_id,x\n0,1,True\n", "row 2, column x: 'True' is not a number"),
        (b"timestamp,segment_id,x\n0,1,inf\n", "row 2, column x: the value is infinite"),
        (b"timestamp,segment_id,x\n0,1,1\n5,1,-inf\n", "row 3, column x: the value is infinite"),
        (b"timestamp,segment_id,x\n0,1,1e39\n", "row 2, column x: 1e+39 does not fit"),
        (b"timestamp,segment_id,x\n0,a,1\n", "row 2, column segment_id: 'a' is not a number"),
        (b"timestamp,segment_id,x\n,1,1\n", "row 2 has no timestamp"),
        (b"timestamp,segment_id,x\n0,1,1\n\n500,1,1\n", "row 3 has 0 of 3 fields"),
        (b"timestamp,segment_id,x\n500,1,1\n0,1,1\n", "row 3: timestamp 0 runs backwards from 500"),
        (b"timestamp,segment_id,x\n0,1,1\n0,1,1\n", "row 3: timestamp 0 repeats 0"),
        (b"timestamp,segment_id,x\n0,1,1\n500,1\n1000,1,3\n", "row 3 has 2 of 3 fields. Copy"),
        (
            b"timestamp,segment_id,x\n0,1,1\n500,1\n",
            "row 3 has 2 of 3 fields. The last line is trun",
        ),
        (
            b"timestamp,segment_id,x\n0,1,1\n500,1",
            "row 3 has 2 of 3 fields. The last line is trunc",
        ),
        (b"timestamp,segment_id,x\n0,1,1\n500,1,0.1", "row 3, the last line, has no end of line"),
        (b"timestamp,segment_id,x\n0,1,1,9\n", "row 2 has 4 fields, the header has 3"),
        (b"timestamp,segment_id,x\n0,1,1\n5,1,1,9\n", "Expected 3 fields in line 3, saw 4"),
        (b"timestamp,segment_id,x, x\n0,1,1,1\n", "two columns are called 'x'"),
        (b"timestamp,segment_id,x,x\n0,1,1,1\n", "two columns are called 'x' (the second is col"),
        (b"timestamp,segment_id,timestamp\n0,1,1\n", "two columns are called 'timestamp'"),
        (b"timestamp,Segment_ID,x\n0,1,1\n", "column 2 is called 'Segment_ID' and would be read"),
        (
            b"timestamp,segment_id,timestamp_2,Time Stamp\n0,1,1,1\n",
            "'Time Stamp' and would be read as values",
        ),
        (b",timestamp,segment_id,x\n0,0,1,1\n", "column 1 has no name"),
        (b"\xff\xfe\x00\x01\n", "UTF-16, not a CSV file in UTF-8. Save it"),
        (b"PK\3\4\x14\n", "a workbook, not a CSV file"),
        ("timestamp,gr\u00f6\u00dfe\n0,1\n".encode("latin-1"), "Save it as UTF-8."),
        (b"timestamp;segment_id;x\n0;1;0,5\n", "separated by semicolons; expected commas, and po"),
        (b"timestamp\tx\n0\t1\n", "separated by tabs; expected commas"),
        (b"0,1,0.5\n500,1,0.6\n", "row 1 has numbers only (0,1,0.5); expected the names"),
    ],
)
def test_faults_name_the_file_and_the_row(data, message):
    with pytest.raises(MuseError) as caught:
        parse_table(PATH, data)
    assert str(caught.value).startswith(f"{PATH}: ")
    assert message in str(caught.value)


def test_small_numbers_are_exact_beside_one_that_pandas_leaves_as_text():
    texts = [f"830986945181410141799750297452544.{'0' * 49}", f"-0.{'0' * 38}41248019964"]
    rows = "".join(f"{k},{text}\n" for k, text in enumerate(texts))
    table = parse_table(Path("1.csv"), f"timestamp,a\n{rows}".encode())
    expected = np.array([float(text) for text in texts], np.float32)
    np.testing.assert_array_equal(table.values[:, 0], expected)
