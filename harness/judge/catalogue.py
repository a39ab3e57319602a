"""The list of judges: names, files, digests, and the judge of each data set. Imports no torch.

A judge has three networks. The feature network gives the features for Fréchet distance, KID, precision and recall, and
the class probabilities for the Inception score. The shape network has another architecture and is trained separately:
it tells which class an image shows, and with what confidence it shows a class at all. The style network tells whether
the pixels look like those of the data, whatever they show.

Some judges come with the harness. `harness judge train` trains one for any labelled data set, and stores it in the
cache folder; its name includes the digest of the data.
"""

from __future__ import annotations

import copy
import functools
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.base import digests
from harness.base.errors import HarnessError
from harness.base.files import cache_folder, write_bytes
from harness.base.validation import nearest
from harness.zoo.data.base import DataSet, DataSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.zoo.registry import Choice

SHIPPED = Path(__file__).parent / "weights"
ROLES = ("features", "shape", "style")


def trained_folder() -> Path:
    """The folder of the judges that were trained on this machine."""
    return cache_folder() / "judges"


def names() -> list[str]:
    """The names of all judges: those that come with the harness, and those trained on this machine."""
    found = [path for folder in (SHIPPED, trained_folder()) for path in folder.glob("*-features.safetensors")]
    return sorted({path.name.rpartition("-")[0] for path in found})


def files(name: str) -> dict[str, Path]:
    """The weights files of a judge, by role.

    Raises:
        HarnessError: there is no such judge, or one of its files is missing.
    """
    known = names()
    if name not in known:
        raise HarnessError(f"unknown judge {name!r}{nearest(name, known)} (known: {', '.join(known) or 'none'})")
    folder = next(folder for folder in (SHIPPED, trained_folder()) if _path(folder, name, "features").is_file())
    found = {role: _path(folder, name, role) for role in ROLES}
    for path in found.values():
        if not path.is_file():
            raise HarnessError(f"the judge {name!r} lacks its weights {path}: {remedy(path)}")
    return found


def remedy(path: Path) -> str:
    """What to do if a weights file is missing or damaged."""
    return "reinstall the harness" if path.parent == SHIPPED else "train it again with `harness judge train`"


@functools.cache
def digest(name: str) -> str:
    """SHA-256 (hex) over the weights files of a judge, read once per process.

    Raises:
        HarnessError: there is no such judge, or a file has another SHA-256 than its list of sums says.
    """
    found = files(name)
    own = {path: digests.of_file(path) for _, path in sorted(found.items())}
    sums = _sums(found["features"].parent, name)
    for path, actual in own.items():
        if sums.get(path.name) != actual:
            raise HarnessError(
                f"{path}: damaged or replaced: its SHA-256 is {actual}, but {name}.sha256 beside it says "
                f"{sums.get(path.name, 'nothing about it')}: {remedy(path)}"
            )
    return digests.of_bytes(*map(bytes.fromhex, own.values()))


def _sums(folder: Path, name: str) -> dict[str, str]:
    """File name -> SHA-256 as `sha256sum` writes it."""
    path = folder / f"{name}.sha256"
    try:
        lines = path.read_text("utf-8").splitlines()
        return {file.removeprefix("*"): digest for digest, file in (line.split() for line in lines)}
    except FileNotFoundError as error:
        made = f"cd {shlex.quote(str(folder))} && sha256sum {name}-*.safetensors > {name}.sha256"
        raise HarnessError(
            f"{path} is missing, so the judge {name!r} cannot be verified: {remedy(path)}, or, if you know that its "
            f"files are intact, run `{made}`"
        ) from error
    except (OSError, ValueError) as error:
        raise HarnessError(f"{path}: damaged, not a list of SHA-256 sums ({error}): {remedy(path)}") from error


def write_sums(folder: Path, name: str) -> None:
    """Write the list of SHA-256 sums of those files of a judge that are there."""
    paths = [path for role in ROLES if (path := _path(folder, name, role)).is_file()]
    lines = [f"{digests.of_file(path)}  {path.name}\n" for path in paths]
    write_bytes(folder / f"{name}.sha256", "".join(lines).encode())
    digest.cache_clear()


def header(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file, from its header: 8 bytes with its length, then JSON.

    Raises:
        HarnessError: the file has no such header.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            head = json.loads(file.read(length) if length <= path.stat().st_size else b"")
        return dict(head.get("__metadata__", {}))
    except (OSError, ValueError, AttributeError) as error:
        raise HarnessError(f"{path}: damaged or no safetensors file ({error}): {remedy(path)}") from error


def image_shape(name: str) -> tuple[int, int, int]:
    """Channels, height and width of the images of a judge, without loading it.

    Raises:
        HarnessError: the name is unknown, or its weights are missing or damaged.
    """
    said = header(files(name)["features"])
    channels, height, width = (int(said.get(key, usual)) for key, usual in _USUAL.items())
    return channels, height, width


_USUAL = {"channels": 1, "height": 28, "width": 28}
"""The image shape of the shipped judge, whose header has none."""


def of(data: DataSet) -> str | None:
    """The name of the judge of this data, or None.

    It is the shipped judge, or one trained on this machine: on this data, or on the whole data set that it is a part
    of (its classes keep their numbers).

    Raises:
        HarnessError: the digest of the data cannot be computed.
    """
    if data.points:
        return None
    if data.judge is not None:
        return data.judge
    names = (trained_name(known) for known in (data, _undivided(data)))
    return next((name for name in names if all(_path(trained_folder(), name, role).is_file() for role in ROLES)), None)


def _undivided(data: DataSet) -> DataSet:
    """The data set with all its classes and images."""
    whole = copy.copy(data)
    whole.settings = data.settings.model_copy(update=dict.fromkeys(DataSettings.model_fields))
    return whole


def trained_name(data: DataSet) -> str:
    """The name of a judge that is trained on this data; it includes the digest of the data."""
    return f"{data.name}-{data.digest()[:8]}"


def missing(choice: Choice[DataSet]) -> str | None:
    """The error message if no judge knows this data, with what to do; None if there is one."""
    data = choice.make()
    if of(data) is not None:
        return None
    if data.points:
        return f"no judge knows the data {choice.name!r}: it holds points, and judges are for images"
    own = choice.settings.model_dump(mode="json", exclude_defaults=True, exclude=set(DataSettings.model_fields))
    return f"no judge knows the data {choice.name!r}: train one with `{training_command({'name': choice.name, **own})}`"


def training_command(choice: Mapping[str, Any]) -> str:
    """The command that trains a judge for a data set with this name and these settings."""
    command = ["harness", "judge", "train", "--data", str(choice["name"])]
    for key, value in choice.items():
        if key != "name":
            command += ["--set", f"{key}={json.dumps(value, ensure_ascii=False)}"]
    return shlex.join(command)


def misfit(name: str, data: DataSet) -> str | None:
    """Why a judge cannot extract features from this data, or None if it can."""
    wanted, shape = image_shape(name), tuple(data.shape[:3])
    fits = shape == wanted or (name == of(data) and shape[1:] == wanted[1:])
    if fits:
        return None
    return f"the judge is for images of {shape_text(wanted)}, but {data.name} has {shape_text(shape)}"


def _path(folder: Path, name: str, role: str) -> Path:
    return folder / f"{name}-{role}.safetensors"


def shape_text(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
