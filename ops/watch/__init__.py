"""Metrics as people see them: their document and their board, made of the declarations."""
