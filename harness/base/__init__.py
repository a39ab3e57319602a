"""What everything else stands on: errors, files, digests, messages, signals, states, seeds, validation, the version.

Imports nothing else of the harness, and no torch. Every place may import it.
"""
