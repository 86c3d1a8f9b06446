"""What merchants ask of a gateway: sell a topup, look one up, list them."""
