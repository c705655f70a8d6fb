"""Logistic regression: the log-odds of an error, by some features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RIDGE = 3.0
"""Penalty on the squared weights of standardised features, against the loss summed over the examples."""

STEPS = 30
"""Newton steps, at most."""

NEVER = -8.0
"""Log-odds where there was nothing to learn from, and limit of all log-odds to both sides."""


@dataclass(frozen=True)
class Logistic:
    """Log-odds ``bias + weights @ (features - mean) / scale``.

    Attributes:
        mean, scale, weights: ``float64 [F]``.
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    bias: float

    @classmethod
    def fit(cls, features: np.ndarray, is_error: np.ndarray) -> Logistic:
        """Fit to examples, of which errors count as much in total as the others: their share is no evidence.

        Args:
            features: ``[N, F]``.
            is_error: ``bool [N]``. Where all are alike, the log-odds are `NEVER`.

        >>> found = Logistic.fit(np.array([[0.0], [1.0], [2.0], [9.0]]), np.array([False, False, False, True]))
        >>> (found(np.array([[0.0], [9.0]])) > 0).tolist()
        [False, True]
        """
        size = features.shape[1]
        if is_error.all() or not is_error.any():
            return cls(np.zeros(size), np.ones(size), np.zeros(size), NEVER)
        mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
        x = np.column_stack(((features - mean) / scale, np.ones(len(features))))
        y = is_error.astype(float)
        weight = np.where(is_error, 0.5 / y.mean(), 0.5 / (1 - y.mean()))
        penalty = np.append(np.full(size, RIDGE), 1e-6)
        found = np.zeros(size + 1)
        for _ in range(STEPS):
            p = _sigmoid(x @ found)
            slope = x.T @ (weight * (p - y)) + penalty * found
            curvature = (x * (weight * p * (1 - p))[:, None]).T @ x + np.diag(penalty + 1e-6)
            step = np.linalg.solve(curvature, slope)
            found -= step
            if np.abs(step).max() < 1e-4:
                break
        return cls(mean, scale, found[:-1], float(found[-1]))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Log-odds ``[N]`` of examples ``[N, F]``, errors being as frequent as the others."""
        found = (features - self.mean) / self.scale @ self.weights + self.bias
        return np.asarray(np.clip(found, NEVER, -NEVER))


def _sigmoid(log_odds: np.ndarray) -> np.ndarray:
    found: np.ndarray = 1 / (1 + np.exp(-np.clip(log_odds, -30, 30)))
    return found
