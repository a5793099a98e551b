"""The keeper: the process that stays root for configuration space, and what is said to it."""
