"""Streams over HTTP under faults: what the campaign does at length, here for a few seconds each."""

import os

import pytest

from tests.faults import http_campaign
from tests.faults.http_campaign import FAKETIME


def test_a_mirror_of_a_service_that_is_killed_has_all_in_order_once() -> None:
    result = http_campaign.row_1(0.02)
    assert result.passed, result.figures


@pytest.mark.skipif(FAKETIME is None and not os.environ.get("CI"), reason="libfaketime is not installed")
def test_a_clock_that_jumps_ends_no_wait_early_or_late() -> None:
    result = http_campaign.row_20(0.15)
    assert result.passed, result.figures
