"""The cache: content decides, files are read once, half-written ones are never seen."""

import os
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from muse.data import cache, cache_files
from muse.errors import MuseError
from tests.conftest import stress_package


@pytest.fixture
def files(tmp_path) -> list[Path]:
    """Feature files whose time stamp is old enough to be trusted."""
    folder = stress_package(tmp_path) / "feature_segments" / "a"
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))
    return sorted(folder.iterdir())


def values(tables) -> list[list]:
    return [table.values.tolist() for table in tables]


def test_float32_is_the_cast_of_what_python_reads(tmp_path):
    path = tmp_path / "1.csv"
    numbers = np.random.default_rng(0).normal(size=(200, 4)) * 10.0 ** np.arange(-3, 5, 2)
    rows = [f"{k},1," + ",".join(map(repr, row)) for k, row in enumerate(numbers.tolist())]
    path.write_text("timestamp,segment_id,a,b,c,d\n" + "\n".join(rows) + "\n")
    table = cache.load_tables([path], tmp_path / "cache", 1, "a")[0]
    assert isinstance(table.values, np.memmap)
    np.testing.assert_array_equal(table.values, numbers.astype(np.float32))


def test_a_second_start_reads_no_csv(files, tmp_path, monkeypatch):
    first = cache.load_tables(files, tmp_path / "cache", 2, "a")

    def refuse(*_):
        raise AssertionError("the CSV file was read again")

    monkeypatch.setattr(cache, "parse_table", refuse)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    again = cache.load_tables(files, tmp_path / "cache", 2, "a")
    assert values(again) == values(first)
    assert [table.path for table in again] == files


def test_changed_content_is_read_even_at_the_same_size_and_time(files, tmp_path):
    before = cache.load_tables(files, tmp_path / "cache", 1, "a")[0].values[0, 0]
    text = files[0].read_text().replace("0,1,10,", "0,1,77,", 1)
    draft = files[0].with_suffix(".new")
    draft.write_text(text)
    os.utime(draft, (1e9, 1e9))
    draft.replace(files[0])  # same size, same time, another inode
    after = cache.load_tables(files, tmp_path / "cache", 1, "a")[0].values[0, 0]
    assert (before, after) == (10, 77)


def test_a_young_file_is_not_trusted_by_its_time(files, tmp_path):
    now = time.time()
    os.utime(files[0], (now, now))
    cache.load_tables(files, tmp_path / "cache", 1, "a")
    stat = files[0].stat()
    files[0].write_text(files[0].read_text().replace("0,1,10,", "0,1,77,", 1))
    os.utime(files[0], ns=(stat.st_atime_ns, stat.st_mtime_ns))  # same size, time and inode
    assert cache.load_tables(files, tmp_path / "cache", 1, "a")[0].values[0, 0] == 77


def test_a_damaged_entry_is_made_again(files, tmp_path):
    home = tmp_path / "cache"
    whole = values(cache.load_tables(files, home, 1, "a"))
    arrays = [p for p in home.rglob("*.npy") if not p.name.endswith(".rows.npy")]
    assert len(arrays) == len(files)
    arrays[0].write_bytes(arrays[0].read_bytes()[:-4])
    arrays[1].write_bytes(b"not an array")
    next(home.rglob("??/*.json")).write_text("{}")
    assert values(cache.load_tables(files, home, 1, "a")) == whole


def test_a_damaged_memory_of_digests_is_no_harm(files, tmp_path):
    home = tmp_path / "cache"
    whole = values(cache.load_tables(files, home, 1, "a"))
    for path in (home / "v2" / "digests").iterdir():
        path.write_text('{"1.csv": 3')
    assert values(cache.load_tables(files, home, 1, "a")) == whole


def test_a_copy_that_keeps_size_time_and_inode_is_read(files, tmp_path):
    before = cache.load_tables(files, tmp_path / "cache", 1, "a")[0].values[0, 0]
    files[0].write_text(files[0].read_text().replace("0,1,10,", "0,1,77,", 1))
    os.utime(files[0], (1e9, 1e9))  # as cp -p and rsync do
    assert before == 10
    assert cache.load_tables(files, tmp_path / "cache", 1, "a")[0].values[0, 0] == 77


@pytest.mark.parametrize("pattern", ["??/*[0-9a-f].npy", "??/*.rows.npy", "??/*.json"])
@pytest.mark.parametrize("swap", [False, True], ids=["bit", "swap"])
def test_a_changed_bit_and_swapped_files_are_noticed(files, tmp_path, monkeypatch, pattern, swap):
    long = stress_package(tmp_path / "same") / "feature_segments/a"
    for path, number in zip(files, "2345", strict=True):  # equal shapes
        path.write_text((long / "1.csv").read_text().replace(",1,1", f",1,{number}"))
    home = tmp_path / "cache"
    whole = values(cache.load_tables(files, home, 1, "a"))
    one, two = sorted(home.glob(f"v2/{pattern}"))[:2]
    data = bytearray(one.read_bytes())
    if swap:
        one.write_bytes(two.read_bytes())
        two.write_bytes(data)
    else:
        data[-9] ^= 1
        one.write_bytes(data)
    monkeypatch.setattr(cache, "_verified", set())  # as in a new process
    assert values(cache.load_tables(files, home, 1, "a")) == whole


def test_a_warm_cache_may_be_read_only(files, tmp_path, monkeypatch):
    home = tmp_path / "cache"
    whole = values(cache.load_tables(files, home, 1, "a"))
    moved = [path.rename(path.with_name(f"x{path.name}")) for path in files]  # unknown names

    def refuse(*_):
        raise MuseError("read-only")

    for module in (cache, cache_files):
        monkeypatch.setattr(module, "write_in_cache", refuse)
    assert values(cache.load_tables(moved, home, 1, "a")) == whole


def test_drafts_of_a_killed_process_go(files, tmp_path):
    draft = tmp_path / "cache/v2/ab/.abc.npy.12.0f"
    draft.parent.mkdir(parents=True)
    draft.write_text("half")
    os.utime(draft, (1e9, 1e9))
    cache.load_tables(files, tmp_path / "cache", 1, "a")
    assert not draft.exists()


def _load(files: list[Path], home: Path) -> list[list]:
    return values(cache.load_tables(files, home, 2, "a"))


@pytest.mark.slow
def test_two_runs_may_build_it_at_once(files, tmp_path):
    home = tmp_path / "cache"
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        jobs = [pool.submit(_load, files, home) for _ in range(4)]
        results = [job.result() for job in jobs]
    assert all(result == results[0] for result in results)
    assert not list(home.rglob(".*"))  # no drafts are left


def test_missing_values_are_counted_and_the_first_is_named(tmp_path):
    path = tmp_path / "1.csv"
    path.write_text("timestamp,segment_id,a,b\n0,1,1,2\n500,1,,3\n1000,1,,\n")
    table = cache.load_tables([path], tmp_path / "cache", 1, "a")[0]
    assert (table.missing, table.first_missing) == (3, (3, "a"))


def test_pipes_and_devices_are_not_read(tmp_path):
    pipe, device = tmp_path / "1.csv", tmp_path / "2.csv"
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    for path in (pipe, device):
        with pytest.raises(MuseError, match=f"{path}: not a regular file"):
            cache.load_tables([path], tmp_path / "cache", 1, "a")


def test_a_missing_file_is_named(files, tmp_path):
    gone = files[0].with_name("99.csv")
    with pytest.raises(MuseError, match=r"99\.csv: the file is missing"):
        cache.load_tables([*files, gone], tmp_path / "cache", 1, "a")


def test_a_cache_that_cannot_be_written_says_what_to_do(files, tmp_path):
    blocked = tmp_path / "cache"
    blocked.write_text("a file where a folder should be")
    with pytest.raises(MuseError, match=r"cannot be written .* data\.cache=FOLDER"):
        cache.load_tables(files, blocked, 1, "a")


def test_float16_takes_half_and_keeps_three_digits(files, tmp_path):
    home = tmp_path / "cache"
    exact = cache.load_tables(files, home, 1, "a")
    half = cache.load_tables(files, home, 1, "a", storage="float16")
    for one, other in zip(half, exact, strict=True):
        assert one.values.dtype == np.float16 and other.values.dtype == np.float32
        np.testing.assert_allclose(one.values, other.values, rtol=2**-11)
    assert [table.digest for table in half] == [table.digest for table in exact]


def test_what_float16_cannot_hold_stays_float32(tmp_path):
    path = tmp_path / "1.csv"
    path.write_text("timestamp,a\n0,65505\n250,1.0001\n500,\n")
    for _ in range(2):  # parsed, then from the cache
        (table,) = cache.load_tables([path], tmp_path / "cache", 1, "a", storage="float16")
        assert table.values.dtype == np.float32 and table.missing == 1
        assert table.values[1, 0] == np.float32(1.0001)


def test_processes_read_what_threads_read(files, tmp_path, monkeypatch):
    expected = values(cache.load_tables(files, tmp_path / "one", 2, "a"))
    monkeypatch.setattr(cache, "WORTH_PROCESSES", 0)
    assert values(cache.load_tables(files, tmp_path / "two", 2, "a")) == expected
    files[1].write_text("timestamp,a_0\n0,x\n")
    with pytest.raises(MuseError, match=r"row 2, column a_0: 'x' is not a number"):
        cache.load_tables(files, tmp_path / "three", 2, "a")


def test_a_reader_that_is_killed_is_told(files, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "WORTH_PROCESSES", 0)
    monkeypatch.setattr(cache, "parse_table", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(MuseError, match=r"killed from outside.*data\.readers=1"):
        cache.load_tables(files, tmp_path / "cache", 2, "a")


def test_large_files_are_read_by_as_few_as_the_memory_allows(files, monkeypatch):
    size = max(path.stat().st_size for path in files)
    monkeypatch.setattr(cache, "MEMORY", 3 * cache.MEMORY_PER_BYTE * size)
    for asked, got in {1: 1, 3: 3, 64: 3}.items():
        assert cache._pool(files * 9, asked)._max_workers == got
    monkeypatch.setattr(cache, "MEMORY", 0)
    assert cache._pool(files, 64)._max_workers == 1
