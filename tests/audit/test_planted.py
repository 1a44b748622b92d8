"""Two hundred planted faults: how many the audit finds, and that it finds nothing in the hosts without one."""

from __future__ import annotations

import pytest
from audit.planted import FAULTS, HOSTS, IMAGE, PLANTED, Host
from auditing import audit

# Of 200 planted faults, at most this many may be missed.
LEAST_RECALL = 0.97
# By default one in so many is tried.
STRIDE = 11


def is_found(name: str, depth: int, place: int, style: str) -> bool:
    fault = FAULTS[name]
    found = audit(lambda: Host(fault, depth, place, style), IMAGE, codes=[fault.code])
    return any(each.path.startswith(f"blocks.{place}") for each in found.findings)


def list_missed(cases):
    return [case for case in cases if not is_found(*case)]


def test_some_of_the_planted_faults_are_found():
    assert list_missed(PLANTED[::STRIDE]) == []


@pytest.mark.slow
def test_nearly_all_of_the_planted_faults_are_found():
    assert len(PLANTED) == 200
    missed = list_missed(PLANTED)
    assert 1 - len(missed) / len(PLANTED) >= LEAST_RECALL, missed


@pytest.mark.parametrize("host", HOSTS[::4], ids=str)
def test_a_host_without_a_fault_has_no_findings(host):
    assert audit(lambda: Host(None, *host), IMAGE).findings == ()
