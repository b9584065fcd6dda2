"""The life of a task once its call is accepted: journal, queue, submission, polling, webhooks, budget."""
