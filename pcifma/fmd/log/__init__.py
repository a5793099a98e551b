"""The log: one SQLite file, its writer thread, its readers, what becomes of it when it is old, large or broken."""
