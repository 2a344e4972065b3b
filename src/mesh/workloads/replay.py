"""Replaying a chat: how far what somebody claims that a model said is from what it does say, token by token.

The checker's engine goes on from the claimed text as it would itself. As long as it says the same, nothing else is
asked of it; where it would have said something else, the *gap* between its own choice and the claimed one (in natural
logarithms of probability) is noted, and it goes on from behind the claimed one. So a claim of another build of the
same engine costs about what writing it cost, with a few small gaps; other text has large gaps at once. Of a long answer
only a stretch is looked at.

Touches: nothing.
"""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

TOP = 10
"""So many of the likeliest tokens are looked at for the claimed one; one that is not among them is far off."""
FAR = 16.0
"""What counts as the gap of a token that is not among them: a ten-millionth of the likeliest one's probability."""
BACK_MAX = 8
"""So many tokens back a choice may be taken back: words have fewer."""
ANOTHER_MAX = 2.0
"""How far from the likeliest one a token may be to be tried as another reading."""
DIFFERENT_MAX = 24
"""So often the engine may have to go on from another's word: honest builds need it once in 22 tokens."""

STRETCH_TOKENS = 64
"""So many tokens of an answer are looked at: what a laptop says in a second."""
STRETCH_BYTES = 4 * STRETCH_TOKENS
"""About as much text: a long answer is drawn from in such steps."""
TOKENS_LEAST = 32
"""A mean is taken over no fewer tokens: in a short answer one odd token is no bad mean yet."""

# Where these four come from: docs/decisions/0008-spot-checks.md.
GAP_MAX = 1.0
"""The largest gap of an answer that passes."""
GAP_MEAN_MAX = 0.05
"""And its largest mean, which no single odd token may hide."""
MISSED_GAP = 2.0
"""An answer of the same build is wrong from here on; between this and ``GAP_MAX`` nobody can tell."""
MISSED_MEAN = 0.1
"""Or from this mean on."""
MISSED_MEAN_ELSEWHERE = 1.0
"""An answer of another build, or of another kind of processor, is wrong from this mean on: others may put the question
to the model in other words, and only what has nothing to do with it is certain."""

Finding = Literal["passed", "missed", "unsure"]

_BETWEEN_WORDS = re.compile(rb"(?<=\S) (?=\S)")


class Token(NamedTuple):
    """A token as the checker's engine would say it: its text, and the likeliest ones there (text, log-probability)."""

    said: bytes
    tops: tuple[tuple[bytes, float], ...]


class Replayed(NamedTuple):
    """What a replay found: ``tokens`` looked at, the largest and the mean gap, and whether it was not given up."""

    tokens: int
    gap_max: float
    gap_mean: float
    whole: bool


class Trace:
    """Goes along a claimed text with what an engine would have said. ``ended``: it claims that nothing followed.

    ``begin``: the byte from which on it looks, at the start of a character; ``most``: so many tokens at most.

    Text does not say of which tokens it was made: "also" may be one, or "a" and "lso". The likeliest that fits is taken
    to be it; where nothing fits afterwards, the choice before is taken back as long as there is another likely one.
    """

    def __init__(self, claimed: str, *, ended: bool, begin: int = 0, most: int | None = None) -> None:
        self._claimed = claimed.encode()
        self._ended = ended
        self._most = most
        self._steps: list[_Step] = []
        self._different = 0
        self._at = begin
        self.over = False

    @property
    def prefix(self) -> str:
        """The claimed text up to where the engine is to go on."""
        return self._claimed[: self._at].decode()

    def take(self, token: Token) -> bool:
        """The engine's next token after the prefix; True while it may go on by itself."""
        rest = self._claimed[self._at :]
        if not rest:
            if self._ended:
                self._steps.append(_Step(self._at, _gap_of_end(token), 0, []))
            self.over = True
            return False
        fitting = _fitting(token.tops, rest)
        if fitting:
            gap, length = fitting[0]
            self._go(_Step(self._at, gap, length, [one for one in fitting[1:] if one[0] <= ANOTHER_MAX]))
        elif not self._other_way():
            self._go(_Step(self._at, FAR, _word(rest), []))
        agreed = bool(fitting) and rest.startswith(token.said) and fitting[0][1] == len(token.said)
        if not agreed:  # it is asked again, and never from within a character
            self._different += 1
            while self._at < len(self._claimed) and self._claimed[self._at] & 0xC0 == 0x80:
                self._at += 1
        self.over = self._different > DIFFERENT_MAX or self._all_seen()
        return agreed and not self.over

    def found(self) -> Replayed:
        """What there is to say about the claim."""
        gaps = [step.gap for step in self._steps] or [FAR]
        whole = self._all_seen() and self._different <= DIFFERENT_MAX
        return Replayed(len(gaps), max(gaps), sum(gaps) / max(len(gaps), TOKENS_LEAST), whole)

    def _all_seen(self) -> bool:
        if self._most is not None and len(self._steps) >= self._most:
            return True
        at_end = self._at == len(self._claimed)
        return at_end and (not self._ended or (bool(self._steps) and self._steps[-1].length == 0))

    def _go(self, step: "_Step") -> None:
        self._steps.append(step)
        self._at = step.at + step.length

    def _other_way(self) -> bool:
        """Take the last choice back for which there is another; False if there is none near."""
        for back in range(1, min(BACK_MAX, len(self._steps)) + 1):
            step = self._steps[-back]
            if step.others:
                (gap, length), *others = step.others
                del self._steps[-back:]
                self._go(_Step(step.at, gap, length, others))
                return True
        return False


class _Step(NamedTuple):
    """A token of the claimed text, as it is read: where it begins, its gap, its length, and how else it may be read."""

    at: int
    gap: float
    length: int
    others: list[tuple[float, int]]


def judged(found: Replayed, *, alike: bool) -> Finding:
    """What a replay says of a claim; ``alike``: it was made by the same build of the engine as the checker's."""
    if found.whole and found.gap_max <= GAP_MAX and found.gap_mean <= GAP_MEAN_MAX:
        return "passed"
    wrong = found.gap_max >= MISSED_GAP or found.gap_mean >= MISSED_MEAN
    return "missed" if (wrong if alike else found.gap_mean >= MISSED_MEAN_ELSEWHERE) else "unsure"


def stretches(text: str) -> int:
    """In how many places a look at an answer may begin."""
    return max(1, len(text.encode()) // STRETCH_BYTES)


def beginning(text: str, stretch: int) -> int:
    """The byte at which a stretch begins: the last blank between two words up to its place, since tokens part there."""
    content, at = text.encode(), stretch * STRETCH_BYTES
    return max((blank.start() for blank in _BETWEEN_WORDS.finditer(content) if blank.start() <= at), default=0)


def _gap_of_end(token: Token) -> float:
    """How far the end of a text is from being the likeliest next token, where the engine would go on."""
    ends = [likely for said, likely in token.tops if not said]
    return min(FAR, token.tops[0][1] - max(ends)) if ends else FAR


def _fitting(tops: Sequence[tuple[bytes, float]], rest: bytes) -> list[tuple[float, int]]:
    """Gap and length of the tokens with which the rest may begin, the likeliest first."""
    fitting = [(min(FAR, tops[0][1] - likely), len(said)) for said, likely in tops if said and rest.startswith(said)]
    return sorted(fitting)


def _word(rest: bytes) -> int:
    """How long the next word is, with the blank before it."""
    blank = rest.find(b" ", 1)
    return len(rest) if blank < 0 else blank
