"""What would happen if: arrivals on simulated devices, ordered by the very policy and placement that serve."""
