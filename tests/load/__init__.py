"""Much at once, and for long: `make overload` and `make soak`."""
