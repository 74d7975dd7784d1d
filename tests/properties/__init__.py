"""What must hold of estimates whatever the data."""
