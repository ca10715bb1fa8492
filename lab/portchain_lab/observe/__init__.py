"""What is observed on a lab: traffic that is sent, captures of it, and the paths that packets took."""
