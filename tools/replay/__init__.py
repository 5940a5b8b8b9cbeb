"""Forensics: what a journal says of messages, sessions and failures, and why; read-only, beside a live engine too."""
