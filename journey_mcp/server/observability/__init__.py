"""What a service shows of itself: metrics, traces, and a line of log for each call."""
