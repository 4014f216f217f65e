"""The command line: arguments, Hydra, help, completion."""
