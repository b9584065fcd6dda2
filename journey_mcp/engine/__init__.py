"""What happens to a task after it is accepted: journal, queue, submission, polling, webhooks, budget."""
