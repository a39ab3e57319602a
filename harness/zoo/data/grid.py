"""Twenty-five Gaussians on a square grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.zoo.data.points import Mixture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Grid(Mixture):
    """{−4, −2, 0, 2, 4}², σ .05."""

    name = "grid"
    summary = "25 Gaussians on a square grid: points of the plane, 100 000 + 10 000"
    paper = "Srivastava et al. 2017, section 4.1"
    scale = 5.0
    spread = 0.05

    def literature_centres(self) -> NDArray[np.float64]:
        import numpy as np

        places = np.arange(-4.0, 5.0, 2.0)
        return np.stack(np.meshgrid(places, places, indexing="ij"), 2).reshape(-1, 2)
