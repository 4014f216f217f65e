"""From signals to classes of segments."""
