"""Replaying a placement from its record: where the job would have gone with other weights.

A record holds each term of the best scores and what the score weighed, so that what was measured then can be weighed
anew, and ranked by the same rules.

Touches: nothing.
"""

from typing import NamedTuple

from mesh.jobs.placement import NEAR_TERM, NEAR_TIE
from mesh.jobs.weights import Weights
from mesh.protocol.values import DeviceScore, Explanation


class Replayed(NamedTuple):
    """A placement weighed anew. ``best`` and ``chosen`` with their scores now; ``moved``: it would go to ``best``."""

    moved: bool
    best: DeviceScore
    chosen: DeviceScore
    chosen_then: DeviceScore


def replayed(record: Explanation, weights: Weights) -> Replayed | None:
    """What ``weights`` would have made of a placement; None where the record does not tell.

    It does not where there was nothing to choose from, in old records without weights, and where something is weighed
    now that was not then. Whatever is within the draw of the best counts as unmoved: a coin is no consequence.
    """
    then = {score.device: score for score in record.scores}
    if record.chosen not in then or not record.weights:
        return None
    if any(new and not record.weights.get(name) for name, new in weights._asdict().items()):
        return None
    scores = [_weighed(score, record.weights, weights) for score in record.scores]
    best = max(scores, key=lambda score: (score.total, score.device))
    chosen = next(score for score in scores if score.device == record.chosen)
    return Replayed(not _in_the_draw(chosen, best, record), best, chosen, then[record.chosen])


def _weighed(score: DeviceScore, before: dict[str, float], after: Weights) -> DeviceScore:
    terms = {
        name: min(1.0, score.terms.get(name, 0.0) / before[name]) * weight if weight else 0.0
        for name, weight in after._asdict().items()
    }
    if NEAR_TERM in score.terms:
        terms[NEAR_TERM] = score.terms[NEAR_TERM]
    return DeviceScore(score.device, terms, sum(terms.values()))


def _in_the_draw(chosen: DeviceScore, best: DeviceScore, record: Explanation) -> bool:
    """Whether placement would have drawn between the two: as near as that, at the same price, in the same LAN."""
    if chosen.device == best.device:
        return True
    if (NEAR_TERM in chosen.terms) != (NEAR_TERM in best.terms):
        return False
    near = best.terms.get(NEAR_TERM, 0.0)
    costs = {score.device: score.terms.get("cost", 0.0) > 0 for score in record.scores}
    alike = not record.weights.get("cost") or costs[chosen.device] == costs[best.device]
    return alike and chosen.total - near >= (best.total - near) * (1 - NEAR_TIE)
