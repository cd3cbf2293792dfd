"""HTTP in pure ASGI: requests, answers, problems, routing, and the application that joins them."""
