"""R1: the squared slope of the discriminator at real images is kept small.

Mescheder et al. 2018, equation 9:

    γ/2 · E_x ‖∇C(x)‖²

With ``final`` the weight γ falls (or rises) linearly to that value over the training (in Huang et al. 2024,
appendix, it falls along a cosine). It acts at every step: lazy, it diverged there.
"""

from __future__ import annotations

from harness.zoo.tricks.zero_centred import ZeroCentred


class R1(ZeroCentred):
    """Adds the penalty to the discriminator's loss."""

    name = "r1"
    summary = "zero-centred gradient penalty of the discriminator at real images"
    paper = "Mescheder et al. 2018, equation 9"
    at = "real"
