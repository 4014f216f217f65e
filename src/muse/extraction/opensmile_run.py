"""openSMILE with configurations of muse's own: sound or tables in, levels of its data memory out.

The Python package of openSMILE gives one level of one feature set, a call per frame. Here any level
is dumped to a file, and contours are put in where openSMILE would have computed them. The parts of
its own feature sets are included from where the package has them.
"""

import tempfile
from collections.abc import Mapping
from ctypes import POINTER, c_float
from pathlib import Path

import numpy as np

from muse.errors import MuseError
from muse.extraction.sound import RATE, sound_in_16_bit, write_wav

HOP = RATE // 100  # samples from one frame of openSMILE's descriptors to the next


def import_opensmile():
    """The package opensmile, or MuseError with how to get it and what its licence allows."""
    try:
        import opensmile
    except (ImportError, OSError, RuntimeError) as error:  # the latter two: no library for here
        raise MuseError(
            f"egemaps and lld need openSMILE ({error}), whose licence allows research and "
            "education, not commercial use: pip install 'muse[opensmile]'"
        ) from None
    return opensmile


def shipped(name: str) -> str:
    """A line that includes a part of openSMILE's own configuration files."""
    root = Path(import_opensmile().__file__).parent / "core" / "config"
    return f"\\{{{root / name}}}\n"


def growing() -> str:
    """Lines that let a level keep all of its frames."""
    return shipped("shared/BufferMode.conf.inc")


def component(name: str, kind: str, **fields: str | float) -> str:
    """The section of a component; a ``__`` in the name of a field stands for a dot."""
    lines = [f"{key.replace('__', '.')}={value}" for key, value in fields.items()]
    section = ["[componentInstances:cComponentManager]", f"instance[{name}].type={kind}"]
    return "\n".join([*section, f"[{name}:{kind}]", *lines]) + "\n"


def table_source(name: str, fields: Mapping[str, int], period: float, level: str = "") -> str:
    """The section of a source of contours.

    Args:
        fields: name -> number of columns.
        period: seconds from frame to frame.
        level: that it writes, ``name`` unless given.
    """
    lines = [f"period={period}"]
    for k, (field, size) in enumerate(fields.items()):
        lines += [f"fieldNames[{k}]={field}", f"fieldSizes[{k}]={size}"]
    head = component(name, "cExternalSource", writer__dmLevel=level or name)
    return head + growing() + "\n".join(lines) + "\n"


def run(
    config: str,
    levels: Mapping[str, str],
    sound: np.ndarray | None = None,
    tables: Mapping[str, np.ndarray] | None = None,
    files: Mapping[str, str] | None = None,
    stream: bool = False,
) -> dict[str, np.ndarray]:
    """Run a configuration once.

    Args:
        config: sections beside the data memory, the source of the sound and the dumps.
        levels: name -> level of the data memory that is wanted.
        sound: (samples,) float32 in [-1, 1] for the level `wave`.
        tables: source of contours -> (frames, columns) float32; (0, columns) for none.
        files: option of the configuration -> text of the file that it names.
        stream: openSMILE reads the sound from a file, a few seconds at a time.

    Returns:
        Name of a level -> (frames, columns) float32.
    """
    import_opensmile()
    from opensmile.core.lib import OpenSMILE, smileapi

    memory = component("dataMemory", "cDataMemory")
    kind = "standard_wave_input" if stream else "standard_external_wave_input"
    source = shipped(f"shared/{kind}.conf.inc") if sound is not None else ""
    with tempfile.TemporaryDirectory() as folder:
        dumps = [
            component(f"dump_{name}", "cDatadumpSink", reader__dmLevel=level,
                      filename=f"{folder}/{name}.dump")
            for name, level in levels.items()
        ]  # fmt: skip
        place = Path(folder, "muse.conf")
        place.write_text(memory + source + config + "".join(dumps))
        options = {}
        if stream:
            options["filename"] = f"{folder}/sound.wav"
            write_wav(Path(options["filename"]), sound)
        elif sound is not None:
            options = {"sampleRate": RATE, "nBits": 16}
        for name, text in (files or {}).items():
            options[name] = f"{folder}/{name}"
            Path(options[name]).write_text(text)
        smile = OpenSMILE()
        smile.initialize(str(place), options, loglevel=0)
        for name, values in (tables or {}).items():
            values = np.ascontiguousarray(values, dtype=np.float32)
            # the package's own call takes the number of values for that of frames
            if len(values) and smileapi.smile_extsource_write_data(
                smile._smileobj, name.encode(), values.ctypes.data_as(POINTER(c_float)), len(values)
            ):
                raise RuntimeError(f"openSMILE does not take {len(values)} frames of {name}")
            smile.external_source_set_eoi(name)
        if sound is not None and not stream:
            smile.external_audio_source_write_data("extsource", sound_in_16_bit(sound))
            smile.external_audio_source_set_eoi("extsource")
        smile.run()
        smile.free()
        return {name: _dumped(Path(folder, f"{name}.dump")) for name in levels}


def _dumped(path: Path) -> np.ndarray:
    """A dump (frames, columns): the number of columns, that of frames, then the values."""
    values = np.fromfile(path, dtype=np.float32)
    return values[2:].reshape(-1, int(values[0]))
