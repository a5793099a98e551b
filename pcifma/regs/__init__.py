"""What bits are called: one capability a file, tables as rows, standard library only."""
