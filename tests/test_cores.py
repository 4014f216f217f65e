"""Free memory is the least of what the machine and the control groups leave."""

from pathlib import Path

import pytest

from muse.cores import free_memory

MEMINFO = "MemTotal:  9000 kB\nMemFree:  100 kB\nMemAvailable:  8000 kB\n"


@pytest.fixture
def system(tmp_path):
    """system(groups of the process, files of a control group ...) -> a folder with proc and sys."""

    def make(cgroup: str, **groups: tuple[str, int, str]) -> Path:
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/meminfo").write_text(MEMINFO)
        (tmp_path / "proc/self/cgroup").write_text(cgroup)
        for place, (limit, used, stat) in groups.items():
            second = "memory" not in place
            folder = tmp_path / "sys/fs/cgroup" / place.replace("__", "/").strip("/")
            folder.mkdir(parents=True, exist_ok=True)
            names = ("max", "current") if second else ("limit_in_bytes", "usage_in_bytes")
            for name, value in zip(names, (limit, used), strict=True):
                (folder / f"memory.{name}").write_text(f"{value}\n")
            (folder / "memory.stat").write_text(stat)
        return tmp_path

    return make


def test_without_limits_it_is_what_the_machine_has(system):
    unlimited = {"memory__a": (str(2**63 - 4096), 500, "total_inactive_file 0\n")}
    assert free_memory(system("4:memory:/a\n1:cpu:/\n0::/\n", **unlimited)) == 8000 * 1024


def test_version_1_in_a_container_that_does_not_see_the_path_of_the_host(system):
    groups = {"memory__": ("1000000", 600000, "cache 3\ntotal_inactive_file 250000\n")}
    assert free_memory(system("9:cpu,memory:/docker/12ab\n", **groups)) == 650_000


def test_version_2_with_the_limits_of_the_parents(system):
    groups = {
        "slurm__job__step": ("max", 1000, "anon 700\ninactive_file 100\n"),
        "slurm__job": ("5000", 4000, "anon 700\ninactive_file 300\n"),
        "slurm": ("90000", 4000, "inactive_file 300\n"),
    }
    assert free_memory(system("0::/slurm/job/step\n", **groups)) == 1300


def test_a_group_above_its_limit_has_nothing_free(system):
    groups = {"a": ("5000", 7000, "inactive_file 0\n")}
    assert free_memory(system("0::/a\n", **groups)) == 0


def test_a_system_that_does_not_say(tmp_path):
    assert free_memory(tmp_path) is None


def test_this_machine():
    here = free_memory()
    assert here is None or 2**20 < here < 2**50
