"""The fault management daemon: log, dispatch, SERD, cases, control socket, keeper."""
