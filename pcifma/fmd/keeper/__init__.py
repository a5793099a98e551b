"""The keeper: the one process that stays root, and what is said to it."""
