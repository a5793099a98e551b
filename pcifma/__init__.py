"""pcifma: hypervisor-aware PCIe and MSI error poller with a fault management engine."""

__version__ = "0.1.0"
