"""`python -m tests.rolling.within TREE WORDS…`: become `python WORDS…` of another version's tree.

The process stays the same one, so whoever started it may signal it and wait for it as ever.
"""

import os
import sys


def become(tree: str, words: list[str]) -> None:
    """Go on as `python WORDS…` there; what lies in the working folder is imported first."""
    os.chdir(tree)
    os.execv(sys.executable, [sys.executable, *words])


if __name__ == "__main__":
    become(sys.argv[1], sys.argv[2:])
