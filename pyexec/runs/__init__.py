"""The other processes as the server sees them: zygotes, children, their directories and ends. In the server."""
