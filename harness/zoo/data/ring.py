"""Eight Gaussians on a circle: the smallest data set that shows mode collapse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.zoo.data.points import Mixture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Ring(Mixture):
    """Radius 1, σ .01, at the angles 2πi / 8, i = 0 … 7. (With both 0 and 2π, two of the eight would coincide.)"""

    name = "ring"
    summary = "8 Gaussians on a circle: points of the plane, 100 000 + 10 000"
    paper = "Metz et al. 2017, section 3.3; Srivastava et al. 2017, section 4.1"
    scale = 1.25
    spread = 0.01

    def literature_centres(self) -> NDArray[np.float64]:
        import numpy as np

        angles = 2 * np.pi * np.arange(8) / 8
        return np.stack([np.cos(angles), np.sin(angles)], 1)
