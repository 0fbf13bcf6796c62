"""HTTP/1.1 on sockets: knows nothing of scripts; the application is handed in. In the server."""
