"""What README and docs say is so: commands compose, scripts run, all settings are there."""

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from muse.cli.arguments import for_hydra
from muse.config.commands import COMMANDS, SCHEMAS
from muse.config.compose import load_config, sweep_params
from muse.config.overrides import unquoted
from muse.sweep.jobs import expand
from muse.synthetic.raters import simulated_raters, simulated_signal

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"^(?:    )?(?:\$ )?muse ([a-z]+)\b(.*)$", re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def commands() -> list:
    """Every command line in README and docs, named by the first page that has it."""
    found = {}
    for page in PAGES:
        for name, rest in COMMAND.findall(page.read_text()):
            if name in COMMANDS:
                line = f"muse {name}{rest.split('  #')[0]}".rstrip()
                found.setdefault(line, pytest.param(line, id=f"{page.stem}: {line}"))
    return list(found.values())


@pytest.mark.parametrize("line", commands())
def test_every_command_composes(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name, *words = shlex.split(line)[1:]
    words = for_hydra(name, words)
    folders = {after for before, after in pairwise(words) if before == "--config-dir"}
    if folders or "--help" in words:
        return  # these run in the worked example
    settings = [w for w in words if w[:1] != "-" and not w.startswith("hydra")]
    if any("experiment=" in word for word in words):
        first = unquoted(expand(settings)[0])
        settings = unquoted(expand(settings, sweep_params(name, first))[0])
    elif "-m" in words:
        settings = unquoted(expand(settings)[0])
    assert isinstance(load_config(name, settings), SCHEMAS[name])


def run_script(script: str, folder: Path) -> str:
    """Run the commands of a page in a folder, as a reader would; returns what they print."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [shutil.which("bash"), "-e", "-c", script],
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_worked_example_with_own_data_and_model(tmp_path):
    page = ROOT / "docs/own-models.md"
    for source in [*blocks(page, "yaml"), *blocks(page, "python")]:
        name = source.split("\n")[0].removeprefix("# ")
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source)
    (script,) = blocks(page, "sh")
    out = run_script(script, tmp_path)
    assert "Interviews: lab/interviews is valid, SYNTHETIC data" in out
    assert "Interviews, egemaps, SYNTHETIC data: CCC, best of 2 seeds on devel" in out
    assert out.count(", equal") == 3 and "arousal" not in out


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("README.md", "docs/sweeps.md", "docs/tuning.md", "docs/fusion.md"),
        *("docs/difficulty.md", "docs/export.md"),
    ],
)
def test_the_scripts_of_a_page_run_in_order(name, tmp_path):
    out = run_script("".join(blocks(ROOT / name, "sh")), tmp_path)
    assert "SYNTHETIC" in out


SHARED = ROOT.parent / "shared" / "data"
QUICK = "seeds=1 epochs=1 bootstrap=0 tensorboard=false plots=false"


def what_a_reader_has(folder: Path) -> None:
    """Ratings, features, a body signal and tables of one's own; the public data where they are."""
    time = np.arange(120) / 2
    for id_ in range(1, 9):
        values = simulated_raters(
            simulated_signal(120, id_), [0, 3, 5], [0, 0, 0], [1, 1, 0.8], [0.1] * 3, id_
        )
        columns = dict(zip("abc", values.round(4), strict=True))
        for target in ("arousal", "valence"):
            write(folder / f"my_ratings/{target}/{id_}.csv", {"timestamp": time} | columns)
        rows = {"timestamp": np.arange(120) * 500, "segment_id": np.ones(120, int)}
        write(folder / f"my_features/head/{id_}.csv", rows | {"pitch": values[0], "yaw": values[1]})
        write(folder / f"my_recordings/eda/{id_}.csv", {"timestamp": time, "EDA": values[2]})
        write(folder / f"faces/{id_}.csv", {"frame_ms": np.arange(600) * 100, "smile": time[0]})
    frames = [
        pd.DataFrame({"person": id_, "seconds": time, "score": np.sin(time / 5 + id_).round(3)})
        for id_ in range(1, 9)
    ]
    pd.concat(frames).to_csv(folder / "ratings.csv", index=False)
    partitions = ["train"] * 4 + ["devel"] * 2 + ["test"] * 2
    write(folder / "people.csv", {"id": range(1, 9), "partition": partitions})
    for name, there in (("raaw", "raaw"), ("CEAP-360VR", "ceap_raw")):
        (folder / name).symlink_to(SHARED / there)


def write(path: Path, columns: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(columns).to_csv(path, index=False)


def sections(name: str) -> list:
    """(page, heading, commands) of the sections of a page that have commands."""
    found = []
    for section in re.split(r"^##+ ", (ROOT / name).read_text(), flags=re.MULTILINE):
        lines = re.findall(
            r"^    ((?:muse (?!COMMAND)|mkdir|ln -s|\(echo).*)", section, re.MULTILINE
        )
        lines = [f"{line.split('  #')[0]} {QUICK * ('muse train' in line)}" for line in lines]
        heading = section.splitlines()[0]
        if lines and heading != "The MuSe packages":  # which are not public
            found.append(pytest.param("\n".join(lines), id=f"{name}: {heading}"))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")
@pytest.mark.parametrize("script", [s for p in ("gold", "data") for s in sections(f"docs/{p}.md")])
def test_the_commands_of_a_section_run_in_order(script, tmp_path):
    what_a_reader_has(tmp_path)
    run_script(script, tmp_path)


@pytest.mark.slow
def test_the_commands_about_classes_run_in_order(tmp_path):
    scripts = [param.values[0] for param in sections("docs/classes.md")]  # noqa: PD011
    run_script("\n".join(scripts), tmp_path)


def test_the_page_of_settings_is_that_of_today():
    """`make docs` writes it."""
    page = runpy.run_path(str(ROOT / "scripts/make_docs.py"))["page"]
    assert (ROOT / "docs/settings.md").read_text() == page()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 250
