"""Use cases: what each command does, without printing or exiting."""
