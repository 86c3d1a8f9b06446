"""How HTTP is answered: health, problems, guarded connections."""
