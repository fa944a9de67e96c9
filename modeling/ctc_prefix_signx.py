"""Score the prefixes of a gloss sequence by CTC, for joint CTC/attention decoding."""

import math
from dataclasses import dataclass

import numpy as np

from .ctc_input_signx import ArrayLike, read_ids, read_one

# Below this a float64 sum of products may have lost terms to underflow, so the sum is taken again from logarithms.
_UNDERFLOW = 1e-280


@dataclass(frozen=True, eq=False)
class CTCPrefixState:
    """The CTC state of one prefix; immutable, so that the beams of a search can share it.

    Attributes:
        prefix: the tokens so far.
        prefix_score: log-probability of all label sequences that begin with the prefix.
        token: `[T + 1]` log-probability that the first t steps spell the prefix and end in its last token.
        blank: `[T + 1]` the same, ending in a blank.
    """

    prefix: tuple[int, ...]
    prefix_score: float
    token: np.ndarray
    blank: np.ndarray


def _log_add(left: float, right: float) -> float:
    if left < right:
        left, right = right, left
    return left if right == -math.inf else left + math.log1p(math.exp(right - left))


class CTCPrefixScorer:
    """Score growing prefixes by CTC, for joint CTC/attention decoding (Hori et al. 2017, algorithm 2).

    Unlike the published algorithm it does not assume that each step is normalized: the mass of the steps after a
    prefix enters its score, so that `sum over c of P(g c ..) + P(g) = P(g ..)` holds exactly with masked tokens
    (-inf), too.

        scorer = CTCPrefixScorer(log_probs)
        state = scorer.initial_state()
        scores = scorer.extend(state)            # [V]
        state = scorer.select(state, token)
        scorer.final_score(state)                # when the decoder ends the sentence

    Args:
        log_probs: `[T, V]` log-probabilities of one item, without padding.
        blank_id: id of the blank.

    Raises:
        ValueError: If an argument is invalid.
    """

    def __init__(self, log_probs: ArrayLike, *, blank_id: int = 0):
        self.blank_id = blank_id
        self._log_probs = read_one(log_probs, blank_id)
        self._probs = np.exp(self._log_probs)
        self._possible = (self._log_probs > -np.inf).any(axis=0)
        self._possible[blank_id] = False
        # [T + 1]: log mass of the steps from t on, whatever they spell; zero for normalized frames.
        self._rest = np.append(np.logaddexp.reduce(self._log_probs, axis=1)[::-1].cumsum()[::-1], 0.0)

    def initial_state(self) -> CTCPrefixState:
        """Return the state of the empty prefix."""
        blank = np.append(0.0, self._log_probs[:, self.blank_id].cumsum())
        return self._state((), float(self._rest[0]), np.full(len(blank), -np.inf), blank)

    def extend(self, state: CTCPrefixState) -> np.ndarray:
        """Return the log-probability `[V]` of the label sequences that begin with the prefix and each token.

        The blank is not a token: its entry is -inf. See `final_score` for the end of the sequence.
        """
        scores = np.full(self._log_probs.shape[1], -np.inf)
        weights = np.logaddexp(state.token, state.blank)[:-1] + self._rest[1:]
        peak = weights.max(initial=-np.inf)
        if peak > -np.inf:
            mass = np.exp(weights - peak) @ self._probs
            safe = self._possible & (mass > _UNDERFLOW)
            scores[safe] = np.log(mass[safe]) + peak
            rare = np.flatnonzero(self._possible & ~safe)
            if len(rare):
                scores[rare] = np.logaddexp.reduce(weights[:, None] + self._log_probs[:, rare], axis=0)
        if state.prefix:
            last = state.prefix[-1]
            scores[last] = self._completion(state, last)
        return scores

    def select(self, state: CTCPrefixState, token: int) -> CTCPrefixState:
        """Return the state of the prefix with `token` appended; its `prefix_score` is `extend(state)[token]`."""
        (token,) = read_ids([token], self.blank_id, self._log_probs.shape[1])
        before = self._before(state, token).tolist()
        emitted, blanks = self._log_probs[:, token].tolist(), self._log_probs[:, self.blank_id].tolist()
        ends_token, ends_blank = [-math.inf], [-math.inf]
        for arriving, emission, blank in zip(before, emitted, blanks):
            ending = _log_add(ends_token[-1], arriving) + emission
            ends_blank.append(_log_add(ends_token[-1], ends_blank[-1]) + blank)
            ends_token.append(ending)
        score = self._completion(state, token)
        return self._state((*state.prefix, token), score, np.array(ends_token), np.array(ends_blank))

    def final_score(self, state: CTCPrefixState) -> float:
        """Return the log-probability that the item spells exactly the prefix, as `ctc_log_prob(log_probs, prefix)`."""
        return _log_add(float(state.token[-1]), float(state.blank[-1]))

    def _before(self, state: CTCPrefixState, token: int) -> np.ndarray:
        """Return the log-probability `[T]` that the steps before t spell the prefix so that step t may add `token`."""
        if state.prefix and state.prefix[-1] == token:
            return state.blank[:-1]
        return np.logaddexp(state.token, state.blank)[:-1]

    def _completion(self, state: CTCPrefixState, token: int) -> float:
        terms = self._before(state, token) + self._log_probs[:, token] + self._rest[1:]
        return float(np.logaddexp.reduce(terms, initial=-np.inf))

    @staticmethod
    def _state(prefix: tuple[int, ...], score: float, token: np.ndarray, blank: np.ndarray) -> CTCPrefixState:
        token.flags.writeable = blank.flags.writeable = False
        return CTCPrefixState(prefix, score, token, blank)
