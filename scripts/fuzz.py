"""Attack muse at random: nothing but clear errors or correct results may come.

    python scripts/fuzz.py [--cases 1000] [--seed 2021]

Each case copies a sound package, its cache, a finished run or an interrupted one, changes its files
(bytes, fields, lines, whole files, JSON and YAML values with their checksums made right again) and
uses it, or tries a command line or a kill:

- a package is read; what is accepted must be what Python's csv module and float() find in it, and
  a search for all faults must find some exactly when the first reading refuses;
- a number of a CSV file in any notation is read; it must be the float32 that float() gives;
- a damaged cache is used; data and moments must be those without a cache;
- a finished run is evaluated; scores must be those it was saved with;
- a run with forged checksums is evaluated; any score may come, nothing else;
- an interrupted run is continued; its scores must be those of the run that was not interrupted;
- so is one in which a link leads outside; nothing may be written there;
- a training process is killed at any time and continued; its scores must be those of one that was
  not killed;
- a command line has words that do not belong there; muse must end with a message.

A refusal must be a MuseError that names a file. Warnings count as failures. A failing case is
printed with its number, and repeated by `--only NUMBER`; at the end stands a table of the tries and
failures of each kind.
"""

import argparse
import collections
import contextlib
import csv
import io
import json
import logging
import math
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml
from tqdm import tqdm

from muse.cli.main import main as muse_main
from muse.commands import evaluate, resume
from muse.commands.train import run
from muse.config.commands import COMMANDS
from muse.config.compose import load_config
from muse.config.shared import PARTITIONS
from muse.data import cache
from muse.data.csv_table import parse_table
from muse.data.recordings import load_package
from muse.data.windows import fit_scaling
from muse.errors import Faults, MuseError
from muse.files import checksum, digest_of
from muse.inference.apply import load_run
from muse.training import run as training_run

PARTITION_OF = {"1": "train", "2": "train", "3": "devel", "4": "test"}
FRAMES = 12
FIELDS = ["", " ", "nan", "NA", "inf", "-inf", "1e400", "1e39", "-1e-400", "0x10", "1_000", "true",
          "abc", "é", "\x00", '"', "'", "1;2", "1,5", "9" * 400, "-0", "+3", " 7 ", "1.5", "-2",
          "3", "../x", "test", "train", "①", "٣", "1e", "--1", "None", "2021-01-01"]  # fmt: skip
VALUES = [None, True, 0, -1, 2, 10**30, 1.5, math.inf, "", "x", "../../etc", "${oc.env:HOME}",
          "???", [], {}, [None], ["a", "a"], {"a": 1}, "muse.errors.Faults", "os.system",
          "muse.models.recurrent.Recurrent", "test", "1e3"]  # fmt: skip
NA = {"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
      "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}  # fmt: skip


class Wrong(AssertionError):
    """A result that is not the right one."""


def write_package(root: Path) -> Path:
    """Four recordings of the layout of MuSe-Stress, two feature sets, two targets."""
    folder, rng = root / "c3_muse_stress", np.random.default_rng(0)

    def write(name: str, header: str, rows) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([header.split(","), *rows])

    write("metadata/partition.csv", "Id,Partition", PARTITION_OF.items())
    for id_ in PARTITION_OF:
        frames = FRAMES + int(id_)
        times = [(500 * k, 1 + k // 8) for k in range(frames)]
        x = rng.normal(size=(frames, 5)).round(4).tolist()
        rows = list(zip(times, x, strict=True))
        features, labels = "feature_segments", "label_segments"
        write(f"{features}/a/{id_}.csv", "timestamp,segment_id,a_0,a_1",
              [[*t, *v[:2]] for t, v in rows])  # fmt: skip
        write(f"{features}/b/{id_}.csv", "timestamp,segment_id,b_0", [[*t, v[2]] for t, v in rows])
        for k, target in ((3, "valence"), (4, "arousal")):
            write(f"{labels}/{target}/{id_}.csv", "timestamp,segment_id,value",
                  [[*t, v[k]] for t, v in rows])  # fmt: skip
    return folder


def damage_bytes(path: Path, rng: random.Random) -> None:
    """Flip, remove, insert or cut bytes, or make the file something else altogether."""
    data = bytearray(path.read_bytes())
    place, kind = rng.randrange(len(data) + 1), rng.randrange(8)
    if kind == 0 and data:
        data[place % len(data)] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del data[place : place + rng.randint(1, 40)]
    elif kind == 2:
        data[place:place] = rng.randbytes(rng.randint(1, 20))
    elif kind == 3:
        data = data[:place]
    elif kind == 4:
        data = bytearray(rng.randbytes(rng.randint(0, 300)))
    elif kind == 5:
        data = data.replace(b"\n", b"\r\n")
    elif kind == 6:
        data = bytearray(b"\xef\xbb\xbf") + data
    else:
        data += data[place:]
    path.write_bytes(data)


def damage_lines(path: Path, rng: random.Random) -> None:
    """Change a field, or remove, repeat, exchange or empty lines."""
    lines = path.read_text().split("\n")
    here, there, kind = rng.randrange(len(lines)), rng.randrange(len(lines)), rng.randrange(8)
    if kind < 4:
        fields = lines[here].split(",")
        number = f"{rng.uniform(-9, 9):.{rng.randrange(9)}f}"
        fields[rng.randrange(len(fields))] = rng.choice(FIELDS) if rng.random() < 0.5 else number
        lines[here] = ",".join(fields)
    elif kind == 4:
        del lines[here]
    elif kind == 5:
        lines.insert(there, lines[here])
    elif kind == 6:
        lines[here], lines[there] = lines[there], lines[here]
    else:
        lines[here] = ""
    path.write_text("\n".join(lines), newline="")


def damage_files(path: Path, rng: random.Random) -> None:
    """Remove the file, empty it, make it a folder, or put another in its place."""
    kind = rng.randrange(4)
    if kind == 3:
        others = [p for p in path.parent.rglob("*") if p.is_file() and p != path]
        if others:
            shutil.copy(rng.choice(others), path)
        return
    path.unlink()
    if kind == 1:
        path.touch()
    elif kind == 2:
        path.mkdir()


def package_case(case: Path, rng: random.Random, config) -> str:
    files = sorted(p for p in case.rglob("*.csv"))
    for path in rng.sample(files, rng.choice([1, 1, 1, 2, 3])):
        rng.choice([damage_bytes, damage_lines, damage_lines, damage_lines, damage_files])(
            path, rng
        )
    data = replace(config.data, root=str(case), cache=str(case / "cache"), readers=1)
    targets, features = config.task.targets, ["a", "b"]
    faults = Faults(stop=False)
    with faults.noted():
        load_package(config.task, targets, features, {}, data, faults=faults)
    try:
        package = load_package(config.task, targets, features, {}, data)
    except MuseError as error:
        if not faults.found:
            raise Wrong("the search for all faults finds none") from None
        return refusal(error, case)
    if faults.found:
        raise Wrong(f"the search for all faults finds {faults.found}")
    check_package(package, case)
    return "read"


def check_package(package, case: Path) -> None:
    """Compare with what the csv module reads."""
    folder = case / "c3_muse_stress"
    listed = rows_of(folder / "metadata/partition.csv")[1:]
    for partition in PARTITIONS:
        ids = [r[0].strip() for r in listed if r and r[-1].strip().lower() == partition]
        if [r.id for r in package.partitions[partition]] != ids:
            raise Wrong(f"{partition} is not {ids}")
        for recording in package.partitions[partition]:
            for name, values in zip(package.features, recording.features, strict=True):
                expect(folder / "feature_segments" / name / f"{recording.id}.csv", values,
                       recording.timestamps)  # fmt: skip
            for target, values in recording.labels.items():
                path = folder / "label_segments" / target / f"{recording.id}.csv"
                if values is not None:
                    expect(path, values[:, None], recording.timestamps)


def rows_of(path: Path) -> list[list[str]]:
    text = path.read_bytes().decode("utf-8-sig")
    return list(csv.reader(text.splitlines()))


def expect(path: Path, values: np.ndarray, timestamps: np.ndarray) -> None:
    """The numbers of a file, column by column, are ``values`` beside ``timestamps``."""
    header, *rows = rows_of(path)
    names = [name.strip() for name in header]
    table = np.array([[math.nan if f in NA else float(f) for f in row] for row in rows])
    kept = [k for k, name in enumerate(names) if name not in ("timestamp", "segment_id")]
    if path.parent.parent.name == "label_segments":
        kept = [names.index("value")]
    if not np.allclose(table[:, kept], values, rtol=1e-6, atol=1e-45, equal_nan=True):
        raise Wrong(f"{path}: other values than in the file")
    if not np.array_equal(table[:, names.index("timestamp")], timestamps):
        raise Wrong(f"{path}: other timestamps than in the file")


def refusal(error: MuseError, case: Path) -> str:
    if str(case) not in str(error):
        raise Wrong(f"the message names no file: {error}")
    return "refused"


def run_case(case: Path, rng: random.Random, expected: dict) -> str:
    """A finished run with damaged bytes or files: the saved scores, or a refusal."""
    files = [p for p in case.rglob("*") if p.is_file() and p.suffix != ".csv"]
    for path in rng.sample(sorted(files), rng.choice([1, 1, 2])):
        rng.choice([damage_bytes, damage_bytes, damage_files])(path, rng)
    return used(case, expected)


def forged_case(case: Path, rng: random.Random, _: dict) -> str:
    """Values of result.json and config.yaml changed, all checksums made right again."""
    result = json.loads((case / "run/result.json").read_text())
    del result["digest"]
    if rng.random() < 0.5:
        change(result, rng)
    else:
        settings = yaml.safe_load((case / "run/config.yaml").read_text())
        change(settings, rng)
        (case / "run/config.yaml").write_text(yaml.safe_dump(settings))
        result["files"]["config.yaml"] = checksum((case / "run/config.yaml").read_bytes())
    text = json.dumps(result | {"digest": digest_of(result)})
    (case / "run/result.json").write_text(text)
    return used(case, None)


def change(tree, rng: random.Random) -> None:
    """Replace, remove or add one value somewhere in nested data."""
    nodes, found = [tree], []
    while nodes:
        node = nodes.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node))
        found += [(node, key) for key in keys]
        nodes += [node[key] for key in keys if isinstance(node[key], dict | list)]
    node, key = rng.choice(found)
    if rng.random() < 0.2:
        del node[key]
    elif rng.random() < 0.2 and isinstance(node, dict):
        node[rng.choice(["x", "", "lr", "..", "train"])] = rng.choice(VALUES)
    else:
        node[key] = rng.choice(VALUES)


def used(case: Path, expected: dict | None) -> str:
    config = replace(EVALUATE, run=str(case / "run"))
    try:
        run = load_run(config, config.run)
        package = run.package([t for m in run.models for t in m.targets], run.recordings())
        scores = evaluate.score(run, package)
        evaluate.report(run, package, scores)
    except MuseError as error:
        return refusal(error, case) if expected else "refused"
    found = {t: {p: s["ccc"] for p, s in parts.items()} for t, parts in scores.items()}
    if expected and found != expected:
        raise Wrong(f"scores {found}, the run was saved with {expected}")
    return "scored"


def resume_case(case: Path, rng: random.Random, expected: dict) -> str:
    """An interrupted run with damaged files, continued."""
    files = [p for p in (case / "run").rglob("*") if p.is_file() and p.name != ".lock"]
    for path in rng.sample(sorted(files), rng.choice([1, 1, 2])):
        rng.choice([damage_bytes, damage_bytes, damage_files])(path, rng)
    try:
        resume.run(replace(RESUME, resume=str(case / "run")))
    except MuseError as error:
        return refusal(error, case)
    found = scores_of(case / "run")
    if found != expected:
        # a digit of a setting or of a checkpoint's name: then the id is another, too
        if run_id_of(case / "run") != run_id_of(TEMPLATES / "finished/run"):
            return "other settings"
        raise Wrong(f"scores {found}, uninterrupted {expected}")
    return "continued"


def value_case(case: Path, rng: random.Random, _) -> str:
    """A file of one column, its numbers in any notation that float() reads."""
    forms = (f".{rng.randrange(20)}e", f".{rng.randrange(60)}f", "r", f".{rng.randrange(1, 20)}g")
    numbers = [rng.choice([-1, 1]) * 10 ** rng.uniform(-44, 38) for _ in range(20)]
    texts = [f"{n!r}" if (form := rng.choice(forms)) == "r" else f"{n:{form}}" for n in numbers]
    rows = "".join(f"{k},{text}\n" for k, text in enumerate(texts))
    table = parse_table(case / "1.csv", f"timestamp,a\n{rows}".encode())
    expected = np.array([float(text) for text in texts]).astype(np.float32)
    if table.values[:, 0].tobytes() != expected.tobytes():
        raise Wrong(f"{table.values[:, 0].tolist()} is not {texts}")
    return "read"


def cache_case(case: Path, rng: random.Random, config) -> str:
    """Damaged or exchanged files of a warm cache: data as without it."""
    files = sorted(p for p in (case / "cache").rglob("*") if p.is_file())
    for path in rng.sample(files, rng.choice([1, 1, 2, 4])):
        rng.choice([damage_bytes, damage_bytes, damage_files])(path, rng)
    cache._verified.clear()  # as a new process
    found, expected = (numbers_of(case, config, name) for name in ("cache", "fresh"))
    if found != expected:
        raise Wrong("other numbers than without the cache")
    return "read"


def numbers_of(case: Path, config, name: str) -> list[bytes]:
    """All features and labels of a package, and what is standardised with, as bytes."""
    data = replace(config.data, root=str(case), cache=str(case / name), readers=1)
    package = load_package(config.task, config.task.targets, ["a", "b"], {}, data)
    scaling = fit_scaling(package, ["a", "b"])
    recordings = [r for partition in PARTITIONS for r in package.partitions[partition]]
    arrays = [x for r in recordings for x in (*r.features, *r.labels.values(), r.timestamps)]
    return [np.asarray(x).tobytes() for x in (*arrays, scaling.mean, scaling.scale)]


def link_case(case: Path, rng: random.Random, _) -> str:
    """An interrupted run with a link to a file or folder outside, continued."""
    outside = case / "outside"
    outside.mkdir()
    (outside / "file").write_text("mine")
    places = [p for p in sorted((case / "run").rglob("*")) if p.name != "config.yaml"]
    place = rng.choice([*places, *(case / "run" / n for n in ("result.json.draft", "plots"))])
    target = outside if place.is_dir() or not place.suffix else outside / "file"
    if place.exists():
        place.rename(case / "moved")
    place.symlink_to(target)
    outcome = "continued"
    try:
        resume.run(replace(RESUME, resume=str(case / "run")))
    except MuseError as error:
        outcome = refusal(error, case)
    if [p.name for p in outside.iterdir()] != ["file"] or (outside / "file").read_text() != "mine":
        raise Wrong(f"written through {place}")
    return outcome


def kill_case(case: Path, rng: random.Random, expected: dict) -> str:
    """A training process killed at any time, and continued if it has begun a run."""
    config = load_config("train", [*RUN, f"data.cache={case / 'cache'}"], str(case / "killed"))
    process = multiprocessing.get_context("fork").Process(target=run, args=(config,))
    process.start()
    while process.is_alive() and not (case / "killed/config.yaml").exists():
        time.sleep(0.001)
    time.sleep(rng.uniform(0, 0.8))
    process.kill()
    process.join()
    ended = (case / "killed/result.json").exists()
    resume.run(replace(RESUME, resume=str(case / "killed")))
    if scores_of(case / "killed") != expected:
        raise Wrong(f"scores {scores_of(case / 'killed')}, never killed {expected}")
    return "finished" if ended else "continued"


WORDS = ["task=", "features=", "model=", "model.hidden=", "data.root=", "seeds=", "lr=", "+x=",
         "~lr", "hydra.run.dir=", "task.targets=", "task.metric=", "resume=", "run=", "runs=", "-m",
         "--cfg", "--resolve", "--help", "=", "[", "'", "a", "+experiment=", "hydra.mode=", "out=",
         "raters=", "unit=", "partition=", "sweep=", "select.features=", "trust="]  # fmt: skip


def line_case(case: Path, rng: random.Random, _) -> str:
    """A command with words at random; there is no data, so that nothing can be begun."""
    words = ["task=stress", "features=a", "epochs=1"] if rng.random() < 0.5 else []
    for word in rng.choices(WORDS, k=rng.randint(1, 3)):
        value = rng.choice([*FIELDS, *map(str, VALUES), "stress", "[1,2]", "{a: 1}", "${x}"])
        words.append((word + value if word.endswith("=") else word).replace("\x00", ""))
    commands = sorted({*COMMANDS} - {"synth", "import"})  # these need no data
    before, sys.argv = Path.cwd(), ["muse", rng.choice(commands), *words]
    os.environ["MUSE_DATA"] = str(case / "nothing")
    (case / "here").mkdir()
    os.chdir(case / "here")
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            muse_main()
    except SystemExit as end:
        return "refused" if end.code else "done"
    except Exception as error:
        raise Wrong(f"{sys.argv}") from error
    finally:
        os.chdir(before)
    return "done"


def scores_of(run: Path) -> dict:
    targets = json.loads((run / "result.json").read_text())["targets"]
    return {t: {p: part[p]["ccc"] for p in PARTITIONS} for t, part in targets.items()}


def run_id_of(run: Path) -> str:
    return json.loads((run / "result.json").read_text())["run_id"]


def make_runs(home: Path) -> list[str]:
    """home/finished and home/interrupted: the same run, whole and stopped in its second target.

    Returns the words of its command line.
    """
    write_package(home / "package")
    words = ["workers=1", "task=stress", "features=[a,b]", "standardise=true", "window=8",
             "hop=4", "epochs=3", "seeds=2", "batch_size=4", "bootstrap=0", "tensorboard=false",
             "model.hidden=4", "model.head=4", "model.layers=1", "model.dropout=0.2",
             f"data.root={home / 'package'}", f"data.cache={home / 'cache'}"]  # fmt: skip
    for name in ("finished", "interrupted"):
        config = load_config("train", words, str(home / name / "run"))
        original, calls = training_run.save_job, 0

        def stop(*arguments, name=name, original=original):
            nonlocal calls
            calls += 1
            if name == "interrupted" and calls == 2:
                raise KeyboardInterrupt
            return original(*arguments)

        training_run.save_job = stop
        try:
            run(config)
        except KeyboardInterrupt:
            if name == "finished":
                raise
        finally:
            training_run.save_job = original
    return words


def report(counts: collections.Counter, failures: collections.Counter) -> None:
    """A line per kind: tries, failures, and how often it ended in which way."""
    kinds = sorted({kind for kind, _ in counts} | {*failures})
    print(f"\n{'kind':16} tries failures")
    for kind in kinds:
        ended = {outcome: n for (of, outcome), n in sorted(counts.items()) if of == kind}
        tries = sum(ended.values()) + failures[kind]
        ways = ", ".join(f"{n} {outcome}" for outcome, n in ended.items())
        print(f"{kind:16} {tries:5} {failures[kind]:8}  {ways}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=2021)
    parser.add_argument("--only", type=int, help="repeat one case, with its traceback")
    options = parser.parse_args()
    logging.disable()
    warnings.simplefilter("error")
    global TEMPLATES, EVALUATE, RESUME, RUN
    with tempfile.TemporaryDirectory() as folder:
        TEMPLATES = Path(folder) / "templates"
        RUN = make_runs(TEMPLATES)
        where = f"data.cache={TEMPLATES / 'cache'}"
        EVALUATE = load_config("evaluate", ["run=x", where])
        RESUME = load_config("resume", ["resume=x", where])
        stress = load_config("train", ["task=stress", "features=a"])
        expected = scores_of(TEMPLATES / "finished/run")
        kinds: dict[str, tuple[str, Callable, object]] = {
            "package": ("package", package_case, stress),
            "finished run": ("finished", run_case, expected),
            "forged run": ("finished", forged_case, expected),
            "interrupted run": ("interrupted", resume_case, expected),
            "planted link": ("interrupted", link_case, None),
            "single value": ("empty", value_case, None),
            "cache": ("warm", cache_case, stress),
            "command line": ("empty", line_case, None),
            "kill": ("empty", kill_case, expected),
        }
        (TEMPLATES / "empty").mkdir()
        write_package(TEMPLATES / "warm")
        numbers_of(TEMPLATES / "warm", stress, "cache")
        counts, failures = collections.Counter(), collections.Counter()
        numbers = [options.only] if options.only is not None else range(options.cases)
        for number in tqdm(numbers, unit="case", disable=None):
            rng = random.Random(f"{options.seed} {number}")
            kind = ["package", *kinds][number % (len(kinds) + 1)]
            template, function, given = kinds[kind]
            case = Path(folder) / f"case{number}"
            shutil.copytree(TEMPLATES / template, case)
            try:
                counts[kind, function(case, rng, given)] += 1
            except Exception:
                failures[kind] += 1
                print(f"\ncase {number} ({kind})\n{traceback.format_exc()}", file=sys.stderr)
            shutil.rmtree(case)
    report(counts, failures)
    failed = failures.total()
    print(f"{counts.total() + failed} cases, seed {options.seed}: {failed} failures")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
