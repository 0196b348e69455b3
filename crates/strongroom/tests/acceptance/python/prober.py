"""Sends HTTP/1.1 requests as it is told, one JSON object a line, and answers a line each.

A request names where to connect (and from where), what to say before TLS, which name TLS asks for, and the request; connections that have a name stay
open and are used again. Nothing but the standard library, so that nothing is added to what is sent.
"""

import http.client
import json
import socket
import ssl
import sys

context = ssl.create_default_context(cafile=sys.argv[1])
connections = {}


def connect(asked):
    name = asked.get("connection")
    if name in connections:
        return connections[name]
    source = (asked["source"], 0) if "source" in asked else None
    raw = socket.create_connection((asked["address"], asked["port"]), timeout=20, source_address=source)
    raw.sendall(asked.get("preamble", "").encode())
    stream = context.wrap_socket(raw, server_hostname=asked["sni"])
    if name:
        connections[name] = stream
    return stream


def send(asked):
    stream = connect(asked)
    body = asked.get("body", "").encode()
    lines = [f"{asked['method']} {asked['target']} HTTP/1.1", f"host: {asked['host']}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in asked.get("headers", {}).items()]
    stream.sendall("\r\n".join(lines + ["", ""]).encode() + body)
    response = http.client.HTTPResponse(stream, method=asked["method"])
    response.begin()
    text = response.read().decode()
    if not asked.get("connection"):
        stream.close()
    return {"status": response.status, "body": text}


for line in sys.stdin:
    asked = json.loads(line)
    try:
        answer = send(asked)
    except (OSError, http.client.HTTPException) as error:
        answer = {"status": 0, "body": str(error)}
    print(json.dumps(answer), flush=True)
