"""From the store to verdicts: ``loading`` reads, ``results`` makes tables, ``statistics`` tests.

``protocol`` keeps what was measured differently apart; ``comparison`` and ``regression`` serve their commands.
"""
