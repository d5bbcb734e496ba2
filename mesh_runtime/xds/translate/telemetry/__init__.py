"""What proxies count, log and trace."""
