"""What a deployment runs: the inference server and its supervisor. Imports nothing else of mlopsctl."""
