"""Jobs: requests, their store, the scheduler and the workers."""
