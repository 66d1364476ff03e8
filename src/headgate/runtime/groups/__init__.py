"""Process groups: workers that run nodes in processes of their own, and who keeps them running."""
