"""From the store to verdicts.

``loading`` reads the store into ``results.Results`` (pandas tables). ``statistics`` has intervals, tests and verdicts:
arrays in, numbers out. ``protocol`` says which values are comparable; ``comparison`` compares arms, runs and suites;
``regression`` checks a suite against a baseline. Import the modules; this package exports nothing itself.
"""
