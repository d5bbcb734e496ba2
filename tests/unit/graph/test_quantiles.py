"""Quantiles of latencies out of buckets."""

from __future__ import annotations

import numpy as np
import pytest
from graph_words import BOUNDS, latency

from graph.columns import Bucket, Field
from graph.quantiles import Scale


def scale_of(*layouts):
    buckets = dict.fromkeys(
        Bucket(low, high) for bounds in layouts for low, high in zip((0.0, *bounds), bounds, strict=False)
    )
    return Scale([*Field, *buckets]), list(buckets)


def counts(buckets, *histograms):
    row = np.zeros(len(buckets))
    for histogram in histograms:
        below = 0.0
        for low, high, count in zip((0.0, *histogram.bounds), histogram.bounds, histogram.counts, strict=False):
            row[buckets.index(Bucket(low, high))] += count - below
            below = count
    return row[None]


def test_quantiles_interpolate_as_prometheus_does():
    scale, buckets = scale_of(BOUNDS)
    found = scale.quantiles(counts(buckets, latency(*[7.0] * 50, *[20.0] * 50)), (0.25, 0.5, 0.75, 0.99))[0]
    assert found == pytest.approx([7.5, 10.0, 17.5, 24.7])


def test_a_quantile_beyond_the_last_bound_is_that_bound():
    scale, buckets = scale_of(BOUNDS)
    assert scale.quantiles(counts(buckets, latency(5000.0)), (0.5,))[0][0] == 1000


def test_nothing_sampled_has_no_quantile():
    scale, buckets = scale_of(BOUNDS)
    assert np.isnan(scale.quantiles(counts(buckets), (0.5,))[0][0])
    assert np.isnan(Scale([]).quantiles(np.zeros((1, 0)), (0.5,))[0][0])


def test_histograms_of_different_bounds_merge():
    fine = (*np.arange(1.0, 100.0).tolist(), float("inf"))
    scale, buckets = scale_of(BOUNDS, fine)
    merged = counts(buckets, latency(*[20.0] * 500), latency(*[20.0] * 500, bounds=fine))
    assert scale.quantiles(merged, (0.5,))[0][0] == pytest.approx(19.6, abs=0.5)
    coarse_only = counts(buckets, latency(*[7.0] * 50, *[20.0] * 50))
    assert scale.quantiles(coarse_only, (0.25, 0.75))[0] == pytest.approx([7.5, 17.5])
