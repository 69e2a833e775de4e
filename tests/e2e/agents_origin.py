"""The services that the agents' own programs speak to, as far as these need them: Anthropic's
messages, OpenAI's responses, Gemini by API key and by Code Assist; all streamed. In the process of
the test, which says what credential is good, and sees each request as it came.

A conversation is played by what was asked: a prompt with EDIT in it makes the model ask for a tool
that writes a file; the answer of the tool, or any other prompt, makes it say ANSWER.
"""

import http.server
import json
import re
import ssl
import threading
import urllib.parse

ACCOUNT = "acc-1"
ANSWER = "the moat is deep"
WRITTEN = "written by the agent\n"


def sse(events, named=False):
    out = []
    for event in events:
        name = "event: %s\n" % event["type"] if named else ""
        out.append("%sdata: %s\n\n" % (name, json.dumps(event)))
    return "".join(out).encode()


class Service(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state = None  # the AgentsOrigin

    def log_message(self, *args):
        pass

    def serve(self):
        size = self.headers.get("Content-Length")
        body = self.rfile.read(int(size)) if size else self.chunks()
        host = self.headers.get("Host", "").split(":")[0]
        url = urllib.parse.urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.state.lock:
            self.state.seen.append({"method": self.command, "host": host, "path": self.path,
                                    "headers": headers, "body": body.decode("latin-1")})
        wanted = self.state.wanted.get(host)
        if wanted is None:
            return self.answer(404, {"error": {"message": "nobody is to ask this host"}})
        if self.command == "POST" and url.path == "/token":
            return self.renew(urllib.parse.parse_qs(body.decode()))
        refusal = self.state.judge(wanted, headers, url)
        if refusal:
            return self.answer(401, refusal)
        try:
            asked = json.loads(body) if body else {}
        except ValueError:
            asked = {}
        self.state.hosts[host](self, url.path, asked)

    do_GET = do_POST = do_HEAD = serve

    def renew(self, form):
        """At Google's token endpoint, which is asked with a form, and no credential but that."""
        answer = self.state.renewals.get(form.get("refresh_token", [""])[0])
        if answer is None or form.get("grant_type") != ["refresh_token"]:
            return self.answer(400, {"error": "invalid_grant"})
        self.answer(200, {"access_token": answer, "token_type": "Bearer", "expires_in": 3599})

    def chunks(self):
        out = b""
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return out
        while True:
            size = int(self.rfile.readline().split(b";")[0], 16)
            out += self.rfile.read(size)
            self.rfile.readline()
            if size == 0:
                return out

    def answer(self, status, body, kind="application/json"):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def stream(self, body):
        """In pieces that respect no event's end."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for at in range(0, len(body), 97):
            piece = body[at:at + 97]
            self.wfile.write(b"%x\r\n" % len(piece) + piece + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")


def wants_edit(asked):
    """The path to write, where the last thing said is a person's prompt with EDIT in it."""
    text = json.dumps(asked)
    found = re.search(r"EDIT (/[\w/.-]+)", text)
    done = any(mark in text for mark in
               ('"tool_result"', '"function_call_output"', '"functionResponse"', "custom_tool_call_output"))
    return found[1] if found and not done else None


# --- Anthropic ------------------------------------------------------------------------------------
def anthropic(service, path, asked):
    if path == "/v1/models":
        return service.answer(200, {"data": []})
    if path != "/v1/messages":
        return service.answer(404, {"type": "error", "error": {"type": "not_found_error",
                                                               "message": "Not found"}})
    tools = [tool["name"] for tool in asked.get("tools", [])]
    target = wants_edit(asked.get("messages")) if "Write" in tools else None
    block, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": ANSWER}
    if target:
        block = {"type": "tool_use", "id": "toolu_01", "name": "Write", "input": {}}
        delta = {"type": "input_json_delta",
                 "partial_json": json.dumps({"file_path": target, "content": WRITTEN})}
    message = {"id": "msg_01", "type": "message", "role": "assistant", "model": asked.get("model"),
               "content": [], "stop_reason": None, "stop_sequence": None,
               "usage": {"input_tokens": 3, "output_tokens": 1}}
    stop = "tool_use" if target else "end_turn"
    if not asked.get("stream"):
        message.update(content=[{"type": "text", "text": ANSWER}], stop_reason=stop)
        return service.answer(200, message)
    service.stream(sse([
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None},
         "usage": {"output_tokens": 5}},
        {"type": "message_stop"}], named=True))


# --- OpenAI ---------------------------------------------------------------------------------------
def openai(service, path, asked):
    if path == "/backend-api/wham/accounts/check":
        return service.answer(200, {"accounts": [{
            "id": ACCOUNT, "account_id": ACCOUNT, "name": None, "can_access_with_session": True,
            "sso_connection_name": None, "is_deactivated": False, "plan_type": "pro",
            "is_fedramp_compliant_workspace": False, "structure": "personal",
            "profile_picture_url": None, "account_routing_override": "us",
            "workspace_backend_origin": "https://chatgpt.com"}]})
    if not path.endswith("/responses"):
        return service.answer(200, {"models": [], "data": [], "object": "list"})
    if "upgrade" in service.headers:
        return service.answer(426, {"error": {"message": "no WebSockets here"}})
    names = [tool.get("name") for tool in asked.get("tools", [])]
    target = wants_edit(asked.get("input"))
    item = {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed",
            "content": [{"type": "output_text", "text": ANSWER, "annotations": []}]}
    if target:
        script = "printf '%%s' '%s' > %s" % (WRITTEN, target)
        name, arguments = "shell", {"command": ["sh", "-c", script]}
        for other in ("exec_command", "shell_command"):
            if other in names:
                name = other
                arguments = {"cmd" if other == "exec_command" else "command": script}
        item = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": name,
                "arguments": json.dumps(arguments), "status": "completed"}
    usage = {"input_tokens": 3, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 5,
             "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 8}
    response = {"id": "resp_1", "object": "response", "status": "in_progress", "output": []}
    done = dict(response, status="completed", output=[item], usage=usage)
    service.stream(sse([
        {"type": "response.created", "sequence_number": 0, "response": response},
        {"type": "response.output_item.done", "sequence_number": 1, "output_index": 0, "item": item},
        {"type": "response.completed", "sequence_number": 2, "response": done}], named=True))


# --- Gemini ---------------------------------------------------------------------------------------
def gemini_parts(asked):
    target = wants_edit(asked.get("contents"))
    tools = json.dumps(asked.get("tools", []))
    if target and "write_file" in tools:
        return [{"functionCall": {"name": "write_file",
                                  "args": {"file_path": target, "content": WRITTEN}}}]
    return [{"text": ANSWER}]


def gemini_answer(asked):
    return {"candidates": [{"content": {"role": "model", "parts": gemini_parts(asked)}, "index": 0,
                            "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 5,
                              "totalTokenCount": 8}}


def gemini(service, path, asked):
    if path.endswith(":streamGenerateContent"):
        return service.stream(sse([gemini_answer(asked)]))
    if path.endswith(":generateContent"):
        return service.answer(200, gemini_answer(asked))
    service.answer(200, {"totalTokens": 3, "models": []})


def code_assist(service, path, asked):
    call = path.rpartition(":")[2]
    if call == "streamGenerateContent":
        return service.stream(sse([{"response": gemini_answer(asked.get("request", {}))}]))
    if call == "generateContent":
        return service.answer(200, {"response": gemini_answer(asked.get("request", {}))})
    if call == "loadCodeAssist":
        tier = {"id": "free-tier", "name": "Free", "isDefault": True}
        return service.answer(200, {"currentTier": tier, "allowedTiers": [tier],
                                    "cloudaicompanionProject": "some-project"})
    service.answer(200, {})


def google_accounts(service, path, asked):
    service.answer(200, {"aud": "a-client", "scope": "email", "expires_in": "3000"})


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    context = None

    def finish_request(self, request, address):
        request.settimeout(60)
        with self.context.wrap_socket(request, server_side=True) as secure:
            self.RequestHandlerClass(secure, address, self)

    def handle_error(self, request, address):
        pass


class AgentsOrigin:
    """`wanted` says, for a host, which header holds what; a host that it does not name is none."""

    hosts = {
        "api.anthropic.com": anthropic,
        "chatgpt.com": openai,
        "api.openai.com": openai,
        "generativelanguage.googleapis.com": gemini,
        "cloudcode-pa.googleapis.com": code_assist,
        "oauth2.googleapis.com": google_accounts,
    }
    credentials = ("authorization", "x-api-key", "x-goog-api-key", "cookie", "api-key")

    def __init__(self, pki):
        self.lock = threading.Lock()
        self.seen = []
        self.wanted = {}
        self.renewals = {}  # by refresh token: the access token that it is worth
        self.server = Server(("127.0.0.1", 0), Service)
        self.server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.context.load_cert_chain(pki / "origin.crt", pki / "origin.key")
        Service.state = self
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def judge(self, wanted, headers, url):
        """What is wrong with a request's credentials: exactly those that are wanted, nothing else."""
        sent = {name: headers[name] for name in self.credentials if name in headers}
        for name in wanted:
            sent.setdefault(name, headers.get(name))
        if sent == wanted and not re.search(r"(^|&)(key|access_token)=", url.query):
            return None
        message = "invalid credential"
        return {"type": "error", "error": {"type": "authentication_error", "message": message,
                                           "code": 401, "status": "UNAUTHENTICATED"}}

    def asked(self, host, path=""):
        with self.lock:
            return [entry for entry in self.seen
                    if entry["host"] == host and entry["path"].startswith(path)]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
