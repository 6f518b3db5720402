"""A small MISP for tests of the door `misp`: events are files UUID.json in a directory, read at each request.

usage: misp_standin.py DIR      prints its port; 127.0.0.1, plain HTTP
Files in DIR change its behaviour: `refuse` answers 403, `cut` ends each second answer in its middle.
It has what the door asks for, as MISP 2.5 answers it: the bare key, restSearch with a window of publish_timestamp (both
ends included), order, limit and page, and events/view. It has no permissions, sharing groups or real speed.
"""

import json
import pathlib
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "a" * 40
here = pathlib.Path(sys.argv[1])
answers = 0


def events():
    return [json.loads(path.read_text())["Event"] for path in sorted(here.glob("*.json"))]


def head(event):
    return {key: value for key, value in event.items() if key not in ("Attribute", "Object")}


class Misp(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, content, status=200):
        global answers
        answers += 1
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if answers % 2 == 0 and (here / "cut").exists():
            body = body[: len(body) // 2]
            self.close_connection = True
        self.wfile.write(body)

    def do_GET(self):
        size = int(self.headers.get("Content-Length") or 0)
        question = json.loads(self.rfile.read(size) or "{}")
        if self.headers.get("Authorization") != KEY or (here / "refuse").exists():
            return self.answer({"name": "Authentication failed.", "url": self.path}, 403)
        if self.path == "/servers/getVersion":
            return self.answer({"version": "2.5.1"})
        if self.path == "/events/restSearch":
            return self.answer({"response": self.search(question)})
        path = here / (self.path.removeprefix("/events/view/") + ".json")
        if self.path.startswith("/events/view/") and path.exists():
            return self.answer(json.loads(path.read_text()))
        self.answer({"name": "Invalid event", "url": self.path}, 404)

    def search(self, question):
        first, last = (int(number) for number in question["publish_timestamp"])
        found = [event for event in events() if first <= int(event["publish_timestamp"]) <= last]
        if "tags" in question:
            named = lambda event: {tag["name"] for tag in event.get("Tag", [])}
            found = [event for event in found if named(event) & set(question["tags"])]
        if question.get("order") == "Event.publish_timestamp asc":
            found.sort(key=lambda event: int(event["publish_timestamp"]))
        start = (question["page"] - 1) * question["limit"]
        shown = head if question.get("metadata") else (lambda event: event)
        return [{"Event": shown(event)} for event in found[start : start + question["limit"]]]

    do_POST = do_GET


server = ThreadingHTTPServer(("127.0.0.1", 0), Misp)
print(server.server_address[1], flush=True)
server.serve_forever()
