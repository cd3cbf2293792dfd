"""What measures, beside named peers."""
