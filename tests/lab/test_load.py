from __future__ import annotations

from lab.load import calls, topology

# strace 6.1
SUMMARY = """
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 91.20    0.004101           3      1203           pread64
  8.80    0.000396          13        30         4 read
------ ----------- ----------- --------- --------- ----------------
100.00    0.004497           3      1233         4 total
"""


def test_machine_has_256_endpoints_on_four_root_buses() -> None:
    assert len(topology().names("endpoint")) == 256
    assert len(topology().names("host_bridge")) == 3  # and pcie.0


def test_reads_are_counted() -> None:
    assert calls(SUMMARY) == 1233
