"""Where whole spans rest."""
