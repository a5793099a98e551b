"""Machine checks of this machine: Xen's telemetry, the kernel's tracepoint, and the banks themselves."""
