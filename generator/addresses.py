"""How a person writes the address of a server, and Triton's own ports; apart from what asks it, so that help is there
at once.
"""

FORMS = "grpc://HOST:PORT, http://HOST:PORT, HOST:PORT or PORT"
HTTP, GRPC, METRICS = 8000, 8001, 8002
URLS = {"HTTP": f"http://localhost:{HTTP}", "gRPC": f"grpc://localhost:{GRPC}"}  # of a server on this machine
METRICS_PAGE = f"http://localhost:{METRICS}/metrics"
GATEWAY = 8080  # of `tbgen gateway`
LISTEN = "127.0.0.1"  # where a server listens that this machine alone shall reach
