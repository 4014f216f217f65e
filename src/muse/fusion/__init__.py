"""Late fusion: members and their predictions."""
