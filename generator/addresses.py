"""How a person writes the address of a server; apart from what asks it, so that help is there at once."""

FORMS = "grpc://HOST:PORT, http://HOST:PORT, HOST:PORT or PORT"
