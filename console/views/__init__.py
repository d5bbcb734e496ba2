"""What a page says, computed from snapshots, config and stores' answers; pure."""
