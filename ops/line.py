"""What a word of a command line may be at all, whichever command it is for."""

from collections.abc import Sequence
from typing import Final

from ops.errors import CommandFailed

WORD_CHARACTERS_MAX: Final = 512
_EXAMPLE: Final = "for example: topup explain 0195f2c4-7a1e-7c3b-9a50-2f6d1c0b8e11"


def check_words(words: Sequence[str]) -> None:
    """Raise CommandFailed for a word that nobody can have meant; it is not repeated.

    What cannot be printed would obey or hide in a terminal, a log or a table, and no name of ours
    holds it. An empty word is a variable of a shell that was not set: taken for "not given", it
    would widen what a command does.
    """
    for number, word in enumerate(words, start=1):
        if not word or word.endswith("="):
            problem = "is empty"
        elif len(word) > WORD_CHARACTERS_MAX:
            problem = f"has {len(word)} characters, over {WORD_CHARACTERS_MAX}"
        elif not word.isprintable():
            problem = "holds a character that cannot be printed"
        else:
            continue
        raise CommandFailed(f"word {number} of the command line {problem}; {_EXAMPLE}", status=2)
