"""The operators' page at /admin: its files, who signs in, and the live picture that it shows.

All else that it shows or does are calls of the admin API, asked by the browser with the cookie.
"""
