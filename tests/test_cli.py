"""The command line: help, the bare word, and words instead of tracebacks for a user's mistakes."""

import io
import json
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from muse.cli.app import run
from muse.cli.arguments import (
    check_choices,
    collect_bare_words,
    expand_bare_word,
    for_hydra,
    overrides_first,
    without_dashes,
)
from muse.cli.help import NOT_SETTINGS, help_text
from muse.cli.main import main, usage
from muse.config.commands import COMMANDS, SCHEMAS
from muse.config.overrides import quote_texts
from muse.errors import MuseError
from muse.terminal import PrintableStream
from tests.conftest import stress_package, write


def python(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True)


def test_help_lists_the_commands_and_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['muse', '--help']; from muse.cli.main import main; main();"
        "heavy = {'torch', 'hydra', 'numpy', 'pandas'} & set(sys.modules); assert not heavy, heavy"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert "train" in done.stdout and "synth" in done.stdout


def test_the_summaries_of_the_commands_stand_below_each_other():
    lines = usage().partition("examples")[0].splitlines()[3:-1]
    assert len(lines) == len(COMMANDS)
    columns = {
        line.index(command.summary) for line, command in zip(lines, COMMANDS.values(), strict=True)
    }
    assert len(columns) == 1


def test_the_settings_are_read_without_torch():
    code = (
        "import sys; from muse.cli.help import help_text; help_text('train', []); "
        "assert 'torch' not in sys.modules"
    )
    assert python("-c", code).returncode == 0


@pytest.mark.parametrize("word", ["task=[null]", "task=2", "+experiment=1", "model=[1.5]"])
def test_a_choice_that_is_no_name(word, monkeypatch):
    monkeypatch.setattr("sys.argv", ["muse", word])
    with pytest.raises(
        SystemExit, match=r"muse train: .*: expected a name, one of .*(lstm|stress)"
    ):
        run("train")
    check_choices(["task=stress,sent", "task=glob(*)", "+experiment=muse2021/stress", "lr=1", "-m"])


def test_an_unknown_command_is_wrong_usage():
    done = python("-m", "muse", "trian")
    assert done.returncode == 2
    assert done.stderr == (
        "muse: no command 'trian'. Did you mean 'train'?\n`muse --help` lists the commands.\n"
    )
    assert "usage: muse COMMAND" in python("-m", "muse", "frobnicate").stderr


def test_help_of_a_command_in_the_way_of_git():
    assert python("-m", "muse", "help", "runs").stdout == f"{help_text('runs', [])}\n"


@pytest.mark.parametrize("words", [["-m", "train", "stress"], ["task=stress", "train"]])
def test_the_command_comes_first(words):
    done = python("-m", "muse", *words)
    rest = " ".join(word for word in words if word != "train")
    assert done.returncode == 2
    assert done.stderr == f"muse: the command comes first. Type: muse train {rest}\n"


def test_options_of_hydra_are_no_settings():
    assert without_dashes("train", ["-m", "stress", "--cfg", "job", "--config-dir=x"]) is None
    assert without_dashes("synth", ["stress", "--config-dir", "task", "-sc", "query=bash"]) is None
    assert without_dashes("evaluate", ["--run", "x"]) == "muse evaluate run=x"
    assert without_dashes("train", ["--workers", "-1"]) == "muse train workers=-1"


def test_help_of_a_command_tells_every_setting():
    text = help_text("train", [])
    for word in (
        "personalisation, physio, sent, stress, topic, trust, wild, wilder",
        "albert, attention, attention_lstm, audio_crnn, cai_attention, cai_attention_lstm, "
        "gated_cnn, gated_cnn_lstm, gru, lstm, lstm_attention, multimodal_transformer, plain, "
        "projected_gru, svm",
        "data.root",
        "model.hidden",
    ):
        assert word in text
    assert "(required)" in text and "(~/.cache/muse)" in text and "(that of the task)" in text
    assert "weight_decay             L2 penalty of Adam. (0.0)" in text
    assert "difficulty.bidirectional Read each" in text  # the longest name of all
    assert "scale" in help_text("synth", [])
    assert "-m sweeps over values with commas" in text
    gold = help_text("gold", [])
    assert "-m sweeps" not in gold and "dba, ewe, gctw, lag, mean, physio, raaw" in gold
    at = {line.index(word) for line in gold.splitlines() for word in ("Frames that are", "ewe: ccc")
          if word in line}  # fmt: skip
    assert len(at) == 1  # in one column, whatever the length of the names


def test_the_usage_says_which_keys_may_be_left_out():
    usage = {command: help_text(command, []).splitlines()[0] for command in COMMANDS}
    assert usage["train"] == "usage: muse train [TASK] key=value ..."
    assert usage["extract"] == "usage: muse extract [EXTRACTOR] [SOURCE ...] key=value ..."
    assert usage["report"] == "usage: muse report [RUNS ...] key=value ..."
    assert usage["resume"] == "usage: muse resume [RUN] key=value ..."
    for command, about in COMMANDS.items():  # nothing of its example, which is one of many
        words = about.example.split()[2:]
        assert not [word for word in words if f" {word} " in usage[command]]


def test_help_lists_every_setting_of_a_training_once_the_often_changed_first():
    for command in ("train", "fuse", "tune"):
        text = help_text(command, [])
        names = [line.split()[0] for line in text.splitlines() if line.startswith("  ")]
        known = {field.name for field in fields(SCHEMAS[command])} - set(NOT_SETTINGS)
        listed = [name for name in names if name.split(".")[0] in known]
        assert {name.split(".")[0] for name in listed} == known and len(set(listed)) == len(listed)
        assert "other settings" not in text
        assert names.index("features") < names.index("lr") < names.index("lr_floor")
        assert names.index("lr_floor") < names.index("workers") < names.index("best_on")


def test_help_begins_with_what_must_be_given():
    for command, first in (("predict", "out"), ("export", "run"), ("gold", "raters")):
        rows = help_text(command, []).split("settings (default)\n")[1].splitlines()
        assert rows[0].split()[0] == first and rows[0].endswith("(required)")
    assert rows[1].split()[0] == "unit"


def test_what_an_extractor_says_itself_is_not_required():
    required = [line for line in help_text("extract", []).splitlines() if "(required)" in line]
    assert [line.split()[0] for line in required] == ["source", "out", "extractor"]


def test_help_has_choices_and_the_configs_of_the_user(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/mine.yaml").write_text("_target_: mine.Model\nwidth: 3\n")
    text = help_text("train", ["--config-dir", str(tmp_path), "model=mine"])
    assert (
        "multimodal_transformer, plain, projected_gru, svm, mine" in text
        and "settings of the model (model=mine)" in text
    )
    assert "model.width = 3" in text
    assert "Training loss. One of ccc, mse, l1, cross_entropy. (that of the task)" in text
    assert (
        "lr                       Initial learning rate of Adam. (as published, else 0.002)" in text
    )


@pytest.mark.parametrize(
    ("words", "expanded"),
    [
        (["stress", "lr=1"], ["task=stress", "lr=1"]),
        (["task=stress"], ["task=stress"]),
        (["-m", "task=stress"], ["-m", "task=stress"]),
        (["-m", "stress", "lr=1,2"], ["-m", "task=stress", "lr=1,2"]),
        (["--cfg", "job"], ["--cfg", "job"]),
        (["+debug=fast"], ["+debug=fast"]),
        ([], []),
    ],
)
def test_one_bare_word_stands_for_the_key_of_the_command(words, expanded):
    assert expand_bare_word("train", words) == expanded


@pytest.mark.parametrize(
    ("words", "collected"),
    [
        (["ceap", "a b (1)", "out=x"], ["dataset=ceap", "out=x", "source=['a b (1)']"]),
        (["ceap", "source=2026_11"], ["dataset=ceap", "source=['2026_11']"]),
        (["ceap", "source=[a,b]"], ["dataset=ceap", "source=[a,b]"]),
        (
            ["table", "1.csv", "2.csv", "time=t", "--config-dir", "own", "3.csv"],
            ["dataset=table", "time=t", "--config-dir", "own", "source=['1.csv','2.csv','3.csv']"],
        ),
        (["ceap"], ["dataset=ceap"]),
    ],
)
def test_further_bare_words_are_a_list(words, collected):
    assert collect_bare_words("import", expand_bare_word("import", words)) == collected


def test_a_path_with_an_equals_sign_needs_its_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a b=c.wav", "out=x", "serds=3"):
        Path(name).touch()
    with pytest.raises(MuseError, match=r"needs its key: 'source=a b=c\.wav'$"):
        for_hydra("annotate", ["a b=c.wav", "run=x"])
    assert for_hydra("annotate", ["source=a b=c.wav", "out=x"])[0] == "out='x'"
    assert "serds=3" in for_hydra("train", ["task=stress", "serds=3"])  # a task is a name


def test_the_bare_words_of_compare_are_runs():
    words = expand_bare_word("compare", ["outputs/train/a b", "latest", "partition=test"])
    expected = ["partition=test", "runs=['outputs/train/a b','latest']"]
    assert collect_bare_words("compare", words) == expected
    assert collect_bare_words("compare", ["runs=[a,b]"]) == ["runs=[a,b]"]


def test_commands_without_a_list_leave_bare_words_alone():
    assert collect_bare_words("train", ["task=stress", "x"]) == ["task=stress", "x"]


def test_settings_may_stand_on_both_sides_of_an_option():
    words = ["task=stress", "--config-dir", "a=b", "lr=1", "-m", "~model", "--cfg", "job"]
    assert overrides_first(words) == [
        "task=stress", "lr=1", "~model", "--config-dir", "a=b", "-m", "--cfg", "job"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("command", "word", "quoted"),
    [
        ("predict", "out=2026_11_21", "out='2026_11_21'"),
        ("predict", "run=rün (copy) [1]", "run='rün (copy) [1]'"),
        ("predict", "out=it's", r"out='it\'s'"),
        ("evaluate", "data.root=~/data", "data.root='~/data'"),
        ("evaluate", "data.root=null", "data.root=null"),
        ("evaluate", "run='x'", "run='x'"),
        ("evaluate", "partition=[devel,test]", "partition=[devel,test]"),
        ("train", "features=[a,b]", "features=[a,b]"),
        ("train", "task=stress", "task=stress"),
        ("train", "model.cell=gru", "model.cell=gru"),
        ("train", "lr=1e-3", "lr=1e-3"),
        ("train", "loss=l1", "loss='l1'"),
        ("train", "++lr=1", "++lr=1"),
    ],
)
def test_texts_are_quoted_for_hydra(command, word, quoted):
    assert quote_texts(command, [word]) == [quoted]


def test_the_values_of_a_sweep_are_not_quoted():
    assert quote_texts("train", ["-m", "loss=ccc,l1"]) == ["-m", "loss=ccc,l1"]


@pytest.mark.parametrize("name", ["2026_11_21", "1e3", "rün (copy) & [1], it's=so", "~x", "a\\b"])
def test_paths_may_be_called_anything(fails, tmp_path, name):
    text = fails("train", "stress", "features=a", f"data.root={name}")
    assert f"looked for {tmp_path / name / 'c3_muse_stress'}" in text


@pytest.fixture
def fails(monkeypatch, tmp_path, capsys):
    """fails("train", ...) -> what the user reads; nothing but words may come."""

    def call(command: str, *words: str) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
        monkeypatch.setattr(sys, "argv", ["muse", *words])
        with pytest.raises(SystemExit) as stop:
            run(command)
        assert isinstance(stop.value.code, str) or stop.value.code > 0
        printed = capsys.readouterr()
        return str(stop.value.code) + printed.err + printed.out

    return call


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["features=a"], "no value for task; give task=NAME, one of personalisation, physio, sent"),
        (["features=a", "tsk=sent"], "give task=NAME instead of tsk, one of"),
        (
            ["task=stress", "features", "=", "a"],
            "without spaces. Type: muse train task=stress feat",
        ),
        (
            ["task=stress", "features=", "a"],
            "without spaces. Type: muse train task=stress features=a",
        ),
        (
            ["task=stress", "features", "=a"],
            "without spaces. Type: muse train task=stress features=a",
        ),
        (["task=stress", "features=[a", "b]"], "'b]': expected key=value. In a shell a list"),
        (["stress", "egemaps"], "'egemaps': expected key=value."),
        (
            ["task=stress", "features=a,b"],
            "several values; a list is 'features=[a,b]'; a sweep over",
        ),
        (["task=stress", "features=a", "lr=0,05"], "a number has a point, lr=0.05; a sweep over"),
        (["task=stress", "experiment=muse2021/stress"], "with a plus: +experiment=muse2021"),
        (["task=stress"], "no value for features. For example: muse train task=stress"),
        (
            ["task=stres", "features=a"],
            "task=stres: expected one of personalisation, physio, sent, stress, topic, trust",
        ),
        (
            ["task=stress", "features=a", "model=cnn"],
            "model=cnn: expected one of albert, attention, attention_lstm, audio_crnn, ",
        ),
        (["task=stress", "features=a", "lr2=3"], "no setting 'lr2'. Did you mean 'lr'?\nThe setti"),
        (
            ["task=stress", "features=a", "model.hiden=3"],
            "no setting 'model.hiden'. Did you mean 'h",
        ),
        (
            ["task=stress", "features=a", "data.rot=x"],
            "The settings of data: cache, readers, root.",
        ),
        (["task=stress", "features=a", "+task.w=1"], "no setting 'task.w'"),
        (
            ["task=stress", "features=a", "epochs=abc"],
            "epochs=abc: expected a whole number.",
        ),
        (["task=stress", "features=a", "data=x"], "data is several settings: data.cache, data.r"),
        (["task=stress", "features=a", "lr=-1"], "lr=-1.0: expected more than 0 and at most 10"),
        (["task=stress", "features=[a"], "In a shell a list needs quotes"),
        (["task=stress", "features=a", "folder=ü b/c"], "there is no setting 'folder'"),
        (["task=stress", "features=a", "jobs=2"], "'jobs' any more: it is called workers."),
        (["task=stress", "features=a", "plateau.on=loss"], "its parts are lr_on (devel or loss)"),
        (["task=stress", "features=a", "learning_rate=1"], "'learning_rate'; it is called lr."),
        (["task=stress", "features=a", "hidden=3"], "'hidden'. Did you mean 'model.hidden'?"),
        (["task=stress", "features=a", "lr=1e-3x"], "lr=1e-3x: expected a number."),
        (
            ["task=stress", "features=a", "+experiment=muse2021/stres"],
            "experiment=muse2021/stres: expected one of cai2021/",
        ),
        (
            ["task=stress", "features=a", "model.attention_layers=2"],
            "no setting 'model.attention_layers'; models that have it: attention_lstm, cai_",
        ),
        (
            ["task=stress", "features=a", "model=gru", "model.cell=lstm"],
            "model=gru model.cell=lstm contradict each other: type model=lstm alone",
        ),
        (
            ["stress", "--epochs=3", "--batch-size", "8", "--joint"],
            "without dashes. Type: muse train stress epochs=3 batch_size=8 joint=true",
        ),
        (
            ["stress", "--features", "my set", "-m", "--seed=3", "--config-dir", "x"],
            "Type: muse train stress 'features=my set' -m seed=3 --config-dir x",
        ),
        (
            ["task=stress", "features=a", "target=[valence,arousal]"],
            "expected one of valence, arousal. Without target= all are taken, one after another.",
        ),
        (["task=stress", "features=a"], "no package of MuSe-Stress 2021: looked for"),
        (["task=stress", "features=a", "device=gpu"], "device=gpu: expected auto, cpu, cuda or"),
        (["task=stress", "features=a", "device=cuda:99"], "device=cuda:99: not available"),
    ],
)
def test_mistakes_get_words(fails, words, message):
    text = fails("train", *words)
    assert message in text
    assert "Traceback" not in text


@pytest.mark.parametrize("words", [["task=stress"], ["task=stress", "features=a", "lr=7"]])
def test_the_composed_settings_are_shown_with_their_values(monkeypatch, tmp_path, capsys, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["muse", *words, "--cfg", "job"])
    run("train")
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["model"]["layers"] == 4 and shown["lr"] == (7 if "lr=7" in words else 0.002)
    assert shown["window"] == 300 and not list(tmp_path.iterdir())


def test_a_mistake_in_the_settings_leaves_no_folder(fails, tmp_path):
    fails("train", "task=stress", "features=a", "lr=-1")
    assert not (tmp_path / "outputs").exists()


def test_a_failed_run_keeps_its_reason_and_is_not_finished(fails, tmp_path):
    stress_package(tmp_path / "data")
    fails("train", "task=stress", "features=c")
    (folder,) = (tmp_path / "outputs" / "train").iterdir()
    status = json.loads((folder / "status.json").read_text())
    assert status["status"] == "failed" and "no feature set 'c'" in status["reason"]
    assert not (folder / "result.json").exists()
    assert "# muse train task=stress features=c" in (folder / "config.yaml").read_text()


def test_a_sweep_goes_on_after_a_job_with_a_mistake(fails, tmp_path):
    stress_package(tmp_path / "data")
    small = ["epochs=1", "seeds=1", "model.hidden=4", "model.layers=1", "plots=false",
             "tensorboard=false"]  # fmt: skip
    text = fails("train", "-m", "task=stress", "target=valence", "features=c,a", *small)
    assert "no feature set 'c'" in text
    (sweep,) = (tmp_path / "outputs" / "sweep").iterdir()
    folders = [path for path in sweep.iterdir() if path.is_dir()]
    assert len(folders) == 2 and len(list(sweep.glob("*/result.json"))) == 1


def test_import_from_the_command_line(monkeypatch, tmp_path, capsys):
    write(
        tmp_path / "my ratings.csv", "who,t,v\n", [(w, t / 2, t) for w in "abc" for t in range(9)]
    )
    write(tmp_path / "my-faces.csv", "who,t,v\n", [(w, t / 4, t) for w in "abc" for t in range(17)])
    monkeypatch.chdir(tmp_path)
    own = ["id=who", "time=t", "unit=s"]
    for words in (
        ["table", "my ratings.csv", *own, "value=v", "target=valence", "partition=[0.4,0.3,0.3]"],
        ["table", "source=my-faces.csv", *own, "features=faces"],
    ):
        monkeypatch.setattr(sys, "argv", ["muse", *words])
        run("import")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2] == "muse check task=stress 'task.targets=[valence]' data.root=data"
    assert lines[-1] == (
        "muse train task=stress features=faces 'task.targets=[valence]' data.root=data"
    )
    small = ["+debug=fast", "model.layers=1", "model.hidden=4", "window=4", "hop=2"]
    for command, line, more in (("check", lines[-2], []), ("train", lines[-1], small)):
        monkeypatch.setattr(sys, "argv", ["muse", *shlex.split(line)[2:], *more])
        run(command)
    assert "data/c3_muse_stress is valid" in capsys.readouterr().out
    (folder,) = (tmp_path / "outputs" / "train").iterdir()
    assert list(json.loads((folder / "result.json").read_text())["targets"]) == ["valence"]


@pytest.mark.parametrize("word", ["+experiment=1", "+experiment=[1]", "--resolve"])
def test_what_hydra_itself_cannot_read_gets_words(fails, word):
    message = fails("train", "task=stress", "features=a", word)
    assert "expected a name" in message or "For example: muse train" in message


def test_nothing_that_is_printed_commands_the_terminal():
    stream = io.StringIO()
    title = "\x1b]0;owned\x07 \x9b2J \u202e\ud800 é 心\tx\n"
    print(title, end="", file=PrintableStream(stream))
    assert stream.getvalue() == "\\x1b]0;owned\\x07 \\x9b2J \\u202e\\ud800 é 心\tx\n"


def test_so_it_is_with_what_commands_print(monkeypatch, tmp_path, capsys):
    folder = tmp_path / "sweep/job"
    folder.mkdir(parents=True)
    (folder / "status.json").write_text(json.dumps({"status": "failed", "reason": "\x1b[2J"}))
    monkeypatch.setattr(sys, "argv", ["muse", "summary", str(folder.parent)])
    main()
    printed = capsys.readouterr().out
    assert "\\x1b[2J" in printed and "\x1b" not in printed
