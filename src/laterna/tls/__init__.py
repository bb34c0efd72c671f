"""How stock fal clients reach this server under fal's own names: local certificates and the intercepting proxy."""
