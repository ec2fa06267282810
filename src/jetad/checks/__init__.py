"""What would make a number wrong in silence: found, and refused or said."""
