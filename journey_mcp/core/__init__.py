"""What every layer shares: errors, requests, tasks, costs, time and text; imports nothing of the others."""
