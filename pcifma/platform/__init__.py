"""Who else is listening: hypervisor, owner of AER, MSI, the reporting path of an error message."""
