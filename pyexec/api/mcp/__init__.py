"""The Model Context Protocol: messages to answers, without a socket. In the server, for HTTP and standard streams."""
