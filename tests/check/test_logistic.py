"""Logistic regression, beside scikit-learn's and on its edges."""

import numpy as np
import pytest

from segmend.check import Logistic
from segmend.check.logistic import NEVER, RIDGE


def test_log_odds_are_those_of_scikit_learn():
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 3)) * (1, 10, 0.1) + (0, 5, 1)
    is_error = features[:, 0] + rng.normal(size=200) > 1.5
    found = Logistic.fit(features, is_error)
    standardised = (features - features.mean(axis=0)) / features.std(axis=0)
    model = linear_model.LogisticRegression(C=1 / RIDGE, class_weight="balanced", tol=1e-8)
    expected = model.fit(standardised, is_error).decision_function(standardised)
    assert found(features) == pytest.approx(expected.clip(NEVER, -NEVER), abs=1e-2)


@pytest.mark.parametrize("value", [True, False])
def test_without_examples_of_both_nothing_is_an_error(value):
    found = Logistic.fit(np.arange(6.0).reshape(3, 2), np.full(3, value))
    assert found(np.ones((4, 2))).tolist() == [NEVER] * 4


def test_a_constant_feature_does_not_count():
    features = np.column_stack((np.arange(10.0), np.full(10, 7.0)))
    found = Logistic.fit(features, np.arange(10) > 6)
    assert found(features) == pytest.approx(found(features), abs=1e-9)
    assert abs(found.weights[1]) < 1e-6


def test_no_examples_have_no_log_odds():
    assert len(Logistic.fit(np.zeros((0, 2)), np.zeros(0, bool))(np.zeros((0, 2)))) == 0
