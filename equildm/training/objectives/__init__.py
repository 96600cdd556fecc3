"""What is minimised, one loss a file."""
