"""What is wrong with this machine or a workspace, and the command that mends it."""
