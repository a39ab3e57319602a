"""Measures whether bands of tuning curves hold, on surfaces where one arm is better untuned and the other tuned.

    python benchmarks/tuning.py

Prints, for several numbers of configurations: the share of simulated pairs of searches whose bands hold both true
curves at every budget (to be at least 95 %), the share with a verdict that names the worse surface, and the share in
which the verdict turns from the one to the other.
"""

from __future__ import annotations

import argparse

from surfaces import ONE, OTHER, Surface, coverage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument("--configurations", type=int, nargs="+", default=[5, 10, 20, 40, 100])
    options = parser.parse_args()
    print(f"The one is better up to {Surface.turn(ONE, OTHER)} configurations, the other after that.")
    print(f"{options.repetitions} pairs each")
    print("configurations  bands hold  wrong verdict  verdict turns")
    for n in options.configurations:
        found = coverage(ONE, OTHER, n, options.repetitions, seed=0)
        shares = (found.covered, found.wrong, found.turned)
        print(f"{n:14}", *(f"{100 * share / options.repetitions:9.1f} %" for share in shares))


if __name__ == "__main__":
    main()
