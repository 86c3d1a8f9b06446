"""What is said between services, and the rules of saying it: no I/O, no clock, no environment."""
