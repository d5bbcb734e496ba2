"""What is worth saying before a change is made. One rule is one function."""
