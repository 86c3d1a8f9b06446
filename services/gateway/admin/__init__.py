"""What operators ask of a gateway: figures, lanes, money in limbo, dead letters, stories."""
