"""What the program is made of: a ComponentResource a file."""
