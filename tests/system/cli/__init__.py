"""The command line as a process: terminals, signals, standard streams."""
