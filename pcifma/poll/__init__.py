"""Triage, snapshots, the latched set, the plan. poll alone owns what was seen before."""
