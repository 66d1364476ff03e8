"""Gates for tests: one inside the test's loop, and one as a process of its own that can be killed."""
