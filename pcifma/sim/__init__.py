"""Random machines, random faults, and how often the diagnosis is right about them. Nothing here knows the diagnosis rules."""
