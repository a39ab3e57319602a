"""One trial end to end: ``run`` puts it together, ``loop`` trains, ``evaluation`` measures, ``device`` sets up torch.

``task`` is what a trial is given and what it comes to (no torch, for the driver). ``artifacts``, ``pictures``,
``environment`` and ``outcomes`` write things down; they are no part of a trial's key.
"""
