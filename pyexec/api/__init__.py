"""What a request may say and what an answer says: no socket, no process. In the server."""
