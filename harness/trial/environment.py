"""Records the environment of a run: device, versions, commit. It may affect the numbers but is no part of the key."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING

import torch

from harness.base.version import __version__, commit
from harness.trial.device import precision, processor

if TYPE_CHECKING:
    from harness.suite.plan import Arm


def environment(arm: Arm, device: str) -> dict[str, str]:
    """What the numbers of a run may depend on besides its key: device, precision, versions, commit."""
    where = torch.device(device)
    return {
        "device": f"{where.type}: {torch.cuda.get_device_name(where) if where.type == 'cuda' else processor()}",
        "precision": str(precision(arm, where)).removeprefix("torch."),
        "threads": str(arm.train.threads),
        "git_commit": commit(),
        "harness": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        **{name.replace("-", "_"): version(name) for name in ("torch-fidelity", "optuna", "mlflow")},
        "platform": platform.platform(),
    }
