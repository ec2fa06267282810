"""What of a file may be jets: guessed from names, shapes and numbers, tried on some rows, and judged."""
