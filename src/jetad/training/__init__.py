"""Training: phases with their objectives, and the loop that runs, checkpoints and resumes them."""
