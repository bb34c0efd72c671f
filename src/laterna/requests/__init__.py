"""A request as its owner knows it: submitted, watched, cancelled, settled. Composes queue, billing and tenants."""
