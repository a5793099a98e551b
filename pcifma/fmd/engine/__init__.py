"""The engine: modules, their services, cases, SERD, timers, and what of them is checkpointed with the log."""
