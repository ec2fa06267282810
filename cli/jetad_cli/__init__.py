"""The click commands of jetad: each parses, calls one library function, and prints."""
