"""Wizards: an intent becomes a plan, the plan a change, the change can be taken back."""
