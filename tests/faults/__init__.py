"""The long campaign: what Headgate survives, with figures."""
