"""How HTTP is answered and asked: health, problems, guarded connections, a client's connection."""
