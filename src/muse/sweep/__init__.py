"""The jobs of a sweep: state, progress, leaderboard."""
