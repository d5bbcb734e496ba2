"""Kiali's tolerances and how healths combine."""

from __future__ import annotations

import pytest

from graph.health import DEFAULT, Direction, Tolerance, is_error, judge, judge_replicas, status, worst
from graph.model import Health, Outcome, Protocol


def http(**codes):
    return {Outcome(code.removeprefix("c"), "", "-"): float(count) for code, count in codes.items()}


def grpc(**codes):
    return {Outcome("200", code.removeprefix("s"), "-"): float(count) for code, count in codes.items()}


@pytest.mark.parametrize(
    ("outcomes", "protocol", "expected"),
    [
        (http(c200=100), Protocol.HTTP, Health.HEALTHY),
        (http(c200=9999, c500=1), Protocol.HTTP, Health.DEGRADED),
        (http(c200=90, c500=10), Protocol.HTTP, Health.FAILURE),
        (http(c200=901, c503=99), Protocol.HTTP, Health.DEGRADED),
        (http(c200=91, c404=9), Protocol.HTTP, Health.HEALTHY),
        (http(c200=90, c404=10), Protocol.HTTP, Health.DEGRADED),
        (http(c200=80, c404=20), Protocol.HTTP, Health.FAILURE),
        (http(c200=99, c0=1), Protocol.HTTP, Health.DEGRADED),
        (http(c200=9, c0=1), Protocol.HTTP, Health.FAILURE),
        (http(c301=5), Protocol.HTTP, Health.HEALTHY),
        (grpc(s0=100), Protocol.GRPC, Health.HEALTHY),
        (grpc(s0=99, s14=1), Protocol.GRPC, Health.DEGRADED),
        (grpc(s0=90, s5=10), Protocol.GRPC, Health.FAILURE),
        (grpc(s0=9, s17=1), Protocol.GRPC, Health.HEALTHY),
        ({Outcome("0", "", "UF"): 1.0}, Protocol.GRPC, Health.FAILURE),
        ({Outcome("ok", "", "-"): 99.0, Outcome("0", "", "-"): 1.0}, Protocol.TCP, Health.DEGRADED),
        ({}, Protocol.HTTP, Health.IDLE),
    ],
)
def test_default_tolerances_are_kialis(outcomes, protocol, expected):
    assert judge(outcomes, protocol) is expected


def test_several_codes_of_one_tolerance_add_up():
    assert judge(http(c200=90, c500=5, c503=5), Protocol.HTTP) is Health.FAILURE


def test_own_tolerances_can_look_at_one_direction_only():
    strict = (Tolerance(code="^4XX$", direction="^inbound$", degraded=0, failure=1), *DEFAULT)
    outcomes = http(c200=95, c404=5)
    assert judge(outcomes, Protocol.HTTP, Direction.INBOUND, strict) is Health.FAILURE
    assert judge(outcomes, Protocol.HTTP, Direction.OUTBOUND, strict) is Health.HEALTHY


@pytest.mark.parametrize(
    ("protocol", "outcome", "code", "error"),
    [
        (Protocol.HTTP, Outcome("200", "", "-"), "200", False),
        (Protocol.HTTP, Outcome("404", "", "-"), "404", False),
        (Protocol.HTTP, Outcome("503", "", "UF"), "503", True),
        (Protocol.HTTP, Outcome("0", "", "DC"), "-", True),
        (Protocol.GRPC, Outcome("200", "0", "-"), "0", False),
        (Protocol.GRPC, Outcome("200", "5", "-"), "5", True),
        (Protocol.GRPC, Outcome("503", "", "UH"), "503", True),
        (Protocol.GRPC, Outcome("503", "14", "UH"), "503", True),
    ],
)
def test_a_request_has_one_status(protocol, outcome, code, error):
    assert (status(protocol, outcome), is_error(protocol, outcome)) == (code, error)


@pytest.mark.parametrize(
    ("desired", "current", "available", "synced", "expected"),
    [
        (0, 0, 0, -1, Health.NOT_READY),
        (2, 2, 2, -1, Health.HEALTHY),
        (2, 2, 2, 2, Health.HEALTHY),
        (2, 2, 2, 1, Health.DEGRADED),
        (2, 2, 1, -1, Health.DEGRADED),
        (2, 1, 1, -1, Health.DEGRADED),
        (2, 2, 0, -1, Health.FAILURE),
        (2, 3, 2, -1, Health.FAILURE),
    ],
)
def test_replicas_are_judged_as_kiali_does(desired, current, available, synced, expected):
    assert judge_replicas(desired=desired, current=current, available=available, synced=synced) is expected


def test_the_worst_health_wins():
    assert worst([Health.HEALTHY, Health.DEGRADED, Health.IDLE]) is Health.DEGRADED
    assert worst([]) is Health.IDLE
