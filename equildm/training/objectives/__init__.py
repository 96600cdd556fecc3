"""Training objectives, one loss in each file."""
