"""Where config lives: every revision, who wrote it and why."""
