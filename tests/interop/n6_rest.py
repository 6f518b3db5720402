"""n6's REST interface for tests of the door `n6-stream`: DIR/inside.jsonl and DIR/threats.jsonl, read at each request.

usage: n6_rest.py DIR           prints its port; 127.0.0.1, plain HTTP
While DIR/cut exists, answers end in the middle of a line. As n6 does it: the key as a bearer token, `time.min` is
mandatory (307 adds it), newest first, no pages, one JSON object on each line.
"""

import json
import pathlib
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

KEY = "guest"
here = pathlib.Path(sys.argv[1])


class Rest(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        parts = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            return self.answer(403)
        if "time.min" not in asked:
            return self.answer(307, Location=self.path + "&time.min=2026-01-01T00:00:00Z")
        path = here / (parts.path.removeprefix("/report/").removesuffix(".sjson") + ".jsonl")
        messages = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        first, last = asked.get("modified.min", ""), asked.get("modified.until", "9")
        found = [message for message in messages if first <= message["modified"] < last]
        found.sort(key=lambda message: message["time"], reverse=True)
        body = "".join(json.dumps(message) + "\n" for message in found).encode()
        # Without a length, the end of the connection is the end of the answer, wherever that comes.
        inside = body.rfind(b'"', 0, len(body) // 2)
        self.answer(200, body[:inside] if (here / "cut").exists() else body)


server = ThreadingHTTPServer(("127.0.0.1", 0), Rest)
print(server.server_address[1], flush=True)
server.serve_forever()
