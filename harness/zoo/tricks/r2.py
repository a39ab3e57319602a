"""R2: keeps the squared slope of the discriminator small at generated images.

Mescheder et al. 2018, equation 10:

    γ/2 · E_z ‖∇C(G(z))‖²

With ``final``, the weight γ changes linearly to that value over the training (in Huang et al. 2024, appendix, it
follows a cosine). The penalty applies at every step: with lazy regularisation training diverged.
"""

from __future__ import annotations

from harness.zoo.tricks.zero_centred import ZeroCentred


class R2(ZeroCentred):
    """Adds the penalty to the discriminator's loss."""

    name = "r2"
    summary = "zero-centred gradient penalty of the discriminator at generated images"
    paper = "Mescheder et al. 2018, equation 10"
    capturable = True
    at = "fake"
