#!/usr/bin/env python3
"""A client of a hub, for those who run no node: posts events from a file, and keeps what it may read in another file.

    client.py URL TOKEN post FILE           posts JSON lines
    client.py URL TOKEN follow FILE         downloads all events, then waits for more; resumes after the last one it saved

Each saved line has the cursor of its page, so file and cursor can never differ: after a crash a page that was saved in
part is cut off and read again. Needs `requests` alone.
"""

import json
import os
import sys
import time

import requests


def session(token):
    made = requests.Session()
    made.headers["Authorization"] = f"Bearer {token}"
    return made


def with_patience(ask):
    """Repeats a request until the hub answers it. A page may be read again, and an event posted again, without harm."""
    while True:
        try:
            answer = ask()
        except requests.RequestException as fault:
            print(f"again in a moment: {fault}", file=sys.stderr)
            time.sleep(0.2)
            continue
        if answer.status_code in (429, 503):
            time.sleep(float(answer.headers.get("Retry-After", "1")))
            continue
        if not answer.ok:
            problem = answer.json()
            sys.exit(f"{problem['code']}: {problem['detail']}")
        return answer


def post(url, token, file):
    with open(file, "rb") as lines:
        body = lines.read()
    http = session(token)
    headers = {"Content-Type": "application/x-ndjson"}
    while True:
        answer = with_patience(lambda: http.post(f"{url}/v1/events", data=body, headers=headers, timeout=60))
        answers = [json.loads(line) for line in answer.text.splitlines()]
        for refused in (one for one in answers if "error" in one):
            print(f"line {refused['line']}: {refused['code']}: {refused['error']}", file=sys.stderr)
        if not any(one.get("retry") for one in answers):
            return


def saved(file):
    """Returns the link behind the last page that is whole, and cuts off what stands behind it."""
    link, end = None, 0
    if os.path.exists(file):
        with open(file, "rb") as lines:
            at = 0
            for line in lines:
                at += len(line)
                if line.endswith(b"\n") and line.startswith(b"#next "):
                    link, end = line[6:].strip().decode(), at
        os.truncate(file, end)
    return link


def follow(url, token, file):
    link = saved(file) or "/v1/events?wait=10"
    http = session(token)
    with open(file, "ab") as out:
        while True:
            page = with_patience(lambda: http.get(url + link, timeout=60))
            if page.links["next"]["url"] == link:
                continue
            link = page.links["next"]["url"]
            out.write(page.content + f"#next {link}\n".encode())
            out.flush()
            os.fsync(out.fileno())


if __name__ == "__main__":
    if len(sys.argv) != 5 or sys.argv[3] not in ("post", "follow"):
        sys.exit(__doc__)
    {"post": post, "follow": follow}[sys.argv[3]](sys.argv[1].rstrip("/"), sys.argv[2], sys.argv[4])
