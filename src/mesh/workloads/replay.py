"""Replaying a chat: how far what somebody claims that a model said is from what it does say, token by token.

The checker's engine goes on from the claimed text as it would itself. As long as it says the same, nothing else is
asked of it; where it would have said something else, the *gap* between its own choice and the claimed one (in natural
logarithms of probability) is noted, and it goes on from behind the claimed one. So a claim of another build of the
same engine costs about what writing it cost, with a few small gaps; other text has large gaps at once.

Touches: nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

TOP = 10
"""So many of the likeliest tokens are looked at for the claimed one; one that is not among them is far off."""
FAR = 16.0
"""What counts as the gap of a token that is not among them: a ten-millionth of the likeliest one's probability."""
BACK_MAX = 8
"""So many tokens back a choice may be taken back: words have fewer."""
ANOTHER_MAX = 2.0
"""How far from the likeliest one a token may be to be tried as another reading."""
DIFFERENT_MAX = 24
"""So often the engine may have to go on from another's word. Honest builds of one model need it a few times."""
GAP_MAX = 1.0
"""The largest gap of an honest claim; half of it was seen (docs/decisions/0008-spot-checks.md). None is drawn yet."""
GAP_MEAN_MAX = 0.05
"""And the largest mean over all tokens of a claim, which no single odd token may hide; two fifths of it were seen."""


class Token(NamedTuple):
    """A token as the checker's engine would say it: its text, and the likeliest ones there (text, log-probability)."""

    said: bytes
    tops: tuple[tuple[bytes, float], ...]


class Replayed(NamedTuple):
    """What a replay found. ``tokens`` looked at, the largest and the mean gap, and whether it came to the end."""

    tokens: int
    gap_max: float
    gap_mean: float
    whole: bool


class Trace:
    """Goes along a claimed text with what an engine would have said. ``ended``: it claims that nothing followed.

    Text does not say of which tokens it was made: "also" may be one, or "a" and "lso". The likeliest that fits is taken
    to be it; where nothing fits afterwards, the choice before is taken back as long as there is another likely one.
    """

    def __init__(self, claimed: str, *, ended: bool) -> None:
        self._claimed = claimed.encode()
        self._ended = ended
        self._steps: list[_Step] = []
        self._different = 0
        self._at = 0
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
        self.over = self._different > DIFFERENT_MAX or (self._at == len(self._claimed) and not self._ended)
        return agreed and not self.over

    def found(self) -> Replayed:
        """What there is to say about the claim."""
        gaps = [step.gap for step in self._steps] or [FAR]
        whole = self._at == len(self._claimed) and self._different <= DIFFERENT_MAX
        return Replayed(len(gaps), max(gaps), sum(gaps) / len(gaps), whole)

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


def agrees(found: Replayed) -> bool:
    """Whether a claim is what this model says, allowing for what honest builds differ in."""
    return found.whole and found.gap_max <= GAP_MAX and found.gap_mean <= GAP_MEAN_MAX


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
