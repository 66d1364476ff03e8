"""Where streams live. `base` holds the contract; each other room is one transport."""
