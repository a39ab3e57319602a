"""The lowest layer: states, errors, messages, files, digests, seeds, signals. It imports nothing else, and no torch.

``errors.HarnessError`` is the error for users, ``states.State`` the states of a trial, ``files`` writes atomically,
``messages.note`` sends a message to the user, ``validation`` rewrites pydantic's errors, ``seeds.derived`` derives
seeds. Every package may import these modules; this package exports nothing.
"""
