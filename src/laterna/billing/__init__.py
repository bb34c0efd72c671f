"""What a request costs and what it used."""
