"""What is known of runs until it is delivered, and the run that its parts make together."""
