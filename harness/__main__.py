"""``python -m harness`` is the command ``harness``."""

from harness.cli.commands import main

if __name__ == "__main__":  # worker processes import this file under another name
    main(prog_name="harness")
