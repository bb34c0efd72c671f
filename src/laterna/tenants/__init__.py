"""Who asks: tenants, their keys, and short-lived tokens made from them."""
