"""R2: the squared slope of the discriminator at generated images is kept small.

Mescheder et al. 2018, equation 10:

    γ/2 · E_z ‖∇C(G(z))‖²

With ``final`` the weight γ falls (or rises) linearly to that value over the training (in Huang et al. 2024,
appendix, it falls along a cosine). It acts at every step: lazy, it diverged there.
"""

from __future__ import annotations

from harness.zoo.tricks.zero_centred import ZeroCentred


class R2(ZeroCentred):
    """Adds the penalty to the discriminator's loss."""

    name = "r2"
    summary = "zero-centred gradient penalty of the discriminator at generated images"
    paper = "Mescheder et al. 2018, equation 10"
    at = "fake"
