"""What the emulator remembers: a port, its SQLite implementation, and one in memory."""
