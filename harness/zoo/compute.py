"""The device and the number format of a model."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Compute:
    """The device and the precision of a model."""

    device: torch.device
    dtype: torch.dtype
    """float32, or bfloat16 for mixed precision (parameters stay float32)."""

    def autocast(self) -> AbstractContextManager[Any]:
        """The context in which forward passes run."""
        import torch

        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16)
