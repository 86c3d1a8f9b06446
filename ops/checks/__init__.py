"""What `topup doctor` looks at; each check says what it found and, where it is bad, what to do."""
