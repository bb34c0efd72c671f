"""The leader: leases a bounded window of requests to each worker, keeps the leases, settles what comes back."""
