"""How a process lives: settings, clock, logs, metrics, connections, start and drain."""
