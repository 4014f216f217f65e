"""Settings: dataclasses, the table of commands, the shipped YAML."""
