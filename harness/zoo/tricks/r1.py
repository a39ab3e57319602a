"""R1: keeps the squared slope of the discriminator small at real images.

Mescheder et al. 2018, equation 9:

    γ/2 · E_x ‖∇C(x)‖²

With ``final``, the weight γ changes linearly to that value over the training (in Huang et al. 2024, appendix, it
follows a cosine). The penalty applies at every step: with lazy regularisation training diverged.
"""

from __future__ import annotations

from harness.zoo.tricks.zero_centred import ZeroCentred


class R1(ZeroCentred):
    """Adds the penalty to the discriminator's loss."""

    name = "r1"
    summary = "zero-centred gradient penalty of the discriminator at real images"
    paper = "Mescheder et al. 2018, equation 9"
    capturable = True
    at = "real"
