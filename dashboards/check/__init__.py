"""Holds boards, rules and runbook to what the engine really tells; `python3 -m check` runs it all."""
