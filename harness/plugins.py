"""The public names for authors of plug-ins and engines: ``from harness.plugins import Trick, Settings``.

It has the base class of each kind of plug-in, and the types that its methods take and return. docs/plugins.md has an
example of each kind, ``harness.testing`` its contract. The built-in plug-ins derive from the same classes.

A name is imported at its first use, so that a plug-in imports only what it needs. ``Discriminator`` is a torch module:
import it inside the method that builds one, so that `harness plan` does not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.base.errors import HarnessError as HarnessError
    from harness.base.messages import note as note
    from harness.base.seeds import derived as derived
    from harness.base.states import State as State
    from harness.execution.engine import Died as Died
    from harness.execution.engine import Ended as Ended
    from harness.execution.engine import Engine as Engine
    from harness.execution.engine import Event as Event
    from harness.execution.engine import Measured as Measured
    from harness.execution.engine import Noted as Noted
    from harness.execution.engine import Site as Site
    from harness.execution.engine import Started as Started
    from harness.execution.engine import Stepped as Stepped
    from harness.execution.worker import perform as perform
    from harness.metrics.base import Metric as Metric
    from harness.metrics.base import Value as Value
    from harness.metrics.images import Images as Images
    from harness.metrics.images import Reference as Reference
    from harness.trial.task import Outcome as Outcome
    from harness.trial.task import Task as Task
    from harness.zoo import objectives as objectives
    from harness.zoo import penalties as penalties
    from harness.zoo.classifiers.base import Classifier as Classifier
    from harness.zoo.classifiers.base import Round as Round
    from harness.zoo.classifiers.base import SciKit as SciKit
    from harness.zoo.compute import Compute as Compute
    from harness.zoo.data import downloads as downloads
    from harness.zoo.data.base import DataSet as DataSet
    from harness.zoo.data.base import DataSettings as DataSettings
    from harness.zoo.data.base import Labelled as Labelled
    from harness.zoo.data.base import Shape as Shape
    from harness.zoo.data.base import Split as Split
    from harness.zoo.data.order import Shuffled as Shuffled
    from harness.zoo.data.pixels import as_floats as as_floats
    from harness.zoo.data.pixels import from_uint8 as from_uint8
    from harness.zoo.data.pixels import to_uint8 as to_uint8
    from harness.zoo.models.base import Model as Model
    from harness.zoo.models.base import Translation as Translation
    from harness.zoo.models.base import in_float32 as in_float32
    from harness.zoo.models.encoding import Encoding as Encoding
    from harness.zoo.models.encoding import EncodingSettings as EncodingSettings
    from harness.zoo.models.encoding import Variational as Variational
    from harness.zoo.models.gan import GAN as GAN
    from harness.zoo.models.gan import GANSettings as GANSettings
    from harness.zoo.models.seeds import seeded as seeded
    from harness.zoo.networks.base import Architecture as Architecture
    from harness.zoo.networks.base import evaluating as evaluating
    from harness.zoo.networks.modules import Discriminator as Discriminator
    from harness.zoo.networks.scores import Scores as Scores
    from harness.zoo.objectives import Targets as Targets
    from harness.zoo.optimisation import backward as backward
    from harness.zoo.optimisation import descend as descend
    from harness.zoo.optimisation import move_average as move_average
    from harness.zoo.registry import Choice as Choice
    from harness.zoo.registry import Preset as Preset
    from harness.zoo.registry import Settings as Settings
    from harness.zoo.registry import choose as choose
    from harness.zoo.registry import chooser as chooser
    from harness.zoo.tricks.base import Trick as Trick
    from harness.zoo.tricks.game import Drawn as Drawn
    from harness.zoo.tricks.game import Game as Game
    from harness.zoo.tricks.game import Rates as Rates
    from harness.zoo.tricks.game import Scored as Scored

PLACES = {
    "harness.base.errors": ("HarnessError",),
    "harness.base.messages": ("note",),
    "harness.base.seeds": ("derived",),
    "harness.base.states": ("State",),
    "harness.execution.engine": ("Died", "Ended", "Engine", "Event", "Measured", "Noted", "Site", "Started", "Stepped"),
    "harness.execution.worker": ("perform",),
    "harness.metrics.base": ("Metric", "Value"),
    "harness.metrics.images": ("Images", "Reference"),
    "harness.trial.task": ("Outcome", "Task"),
    "harness.zoo": ("objectives", "penalties"),
    "harness.zoo.classifiers.base": ("Classifier", "Round", "SciKit"),
    "harness.zoo.compute": ("Compute",),
    "harness.zoo.data": ("downloads",),
    "harness.zoo.data.base": ("DataSet", "DataSettings", "Labelled", "Shape", "Split"),
    "harness.zoo.data.order": ("Shuffled",),
    "harness.zoo.data.pixels": ("as_floats", "from_uint8", "to_uint8"),
    "harness.zoo.models.base": ("Model", "Translation", "in_float32"),
    "harness.zoo.models.encoding": ("Encoding", "EncodingSettings", "Variational"),
    "harness.zoo.models.gan": ("GAN", "GANSettings"),
    "harness.zoo.models.seeds": ("seeded",),
    "harness.zoo.networks.base": ("Architecture", "evaluating"),
    "harness.zoo.networks.modules": ("Discriminator",),
    "harness.zoo.networks.scores": ("Scores",),
    "harness.zoo.objectives": ("Targets",),
    "harness.zoo.optimisation": ("backward", "descend", "move_average"),
    "harness.zoo.registry": ("Choice", "Preset", "Settings", "choose", "chooser"),
    "harness.zoo.tricks.base": ("Trick",),
    "harness.zoo.tricks.game": ("Drawn", "Game", "Rates", "Scored"),
}
"""Module -> its names that this module exports. They are the same as in the imports above, for type checkers."""

_PLACE = {name: place for place, names in PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    place = _PLACE.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(place)
    # In a package, the name is that of a module.
    return getattr(module, name) if hasattr(module, name) else importlib.import_module(f"{place}.{name}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACE])
