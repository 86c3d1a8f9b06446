"""What operators look at: gathered from both servers, laid out for 80 columns or as JSON."""
