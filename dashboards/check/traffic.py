"""Short traffic with every kind of trouble: receivers that refuse, hang, vanish; gateways that repeat and mistake."""

import http.client
import http.server
import json
import threading
import time
import uuid

from .stack import TOKEN

SHORT = {"scheduleSeconds": [1, 1]}

# What a webhook is, beside its name, by the name; `path` is what the receiver does (None: see `url`).
WEBHOOKS = {
    "fine": {"path": "204"},
    "in-order": {"path": "sometimes", "ordering": "chat", "retry": {"scheduleSeconds": [1] * 8}},
    "paced": {"path": "204", "rateLimit": {"limit": 2, "periodMs": 1000, "burst": 1}},
    "slow": {"path": "slow", "concurrency": 1},
    "failing": {"path": "500", "retry": SHORT},
    "not-found": {"path": "404", "retry": {"scheduleSeconds": [1], "giveUpStatus": [404]}},
    "busy": {"path": "429", "retry": SHORT},
    "moved": {"path": "301", "retry": SHORT},
    "hanging": {"path": "hang", "timeoutMs": 300, "retry": SHORT},
    "dropping": {"path": "drop", "retry": SHORT},
    "gone": {"path": "410"},
    "no-such-host": {"url": "http://nowhere.invalid/", "retry": SHORT},
    "nobody-listens": {"url": "http://127.0.0.1:1/", "retry": SHORT},
    "no-tls": {"path": "204", "tls": True, "retry": SHORT},
}


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served = 0

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind = self.path.strip("/")
        Receiver.served += 1
        if kind == "hang":
            time.sleep(1)
        if kind in ("hang", "drop"):
            self.close_connection = True
            return
        if kind == "slow":
            time.sleep(0.2)
        status = {"slow": 204, "sometimes": 500 if Receiver.served % 5 == 0 else 204}.get(kind) or int(kind)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        if status == 429:
            self.send_header("Retry-After", "1")
        self.end_headers()

    def log_message(self, *_):
        pass


def receiver():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Api:
    def __init__(self, address):
        self.connection = http.client.HTTPConnection(address, timeout=10)

    def call(self, method, path, body=None, expect=(200, 201, 202, 204)):
        text = body if isinstance(body, (str, type(None))) else json.dumps(body)
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        self.connection.request(method, f"/api/v2{path}", text, headers)
        answer = self.connection.getresponse()
        said = answer.read().decode()
        if expect and answer.status not in expect:
            raise RuntimeError(f"{method} {path}: {answer.status}: {said}")
        return json.loads(said) if said.startswith(("{", "[")) else said


class Traffic:
    """Runs until stopped, in a thread of its own; what went wrong is raised by `stop`."""

    def __init__(self, address, port):
        self.api, self.port = Api(address), port
        self.ended, self.failure, self.cycles = threading.Event(), None, 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def stop(self):
        self.ended.set()
        self.thread.join(30)
        if self.failure:
            raise self.failure

    def run(self):
        try:
            business = self.api.call("POST", "/admin/business", {"name": "check"})["businessId"]
            instances = [self.make_instance(business, f"shop-{number}") for number in range(3)]
            while not self.ended.is_set():
                for instance, webhooks in instances:
                    self.cycle(instance, webhooks)
                self.cycles += 1
                self.ended.wait(0.2)
        except Exception as failure:  # It is the other thread's to tell.
            self.failure = failure

    def make_instance(self, business, name):
        self.api.call("POST", f"/business/{business}/instance", {"instanceName": name, "externalId": name})
        return name, {key: self.make_webhook(name, key, dict(given)) for key, given in WEBHOOKS.items()}

    def make_webhook(self, instance, name, body):
        path, scheme = body.pop("path", None), "https" if body.pop("tls", False) else "http"
        url = body.pop("url", f"{scheme}://127.0.0.1:{self.port}/{path}")
        made = self.api.call("POST", f"/instance/{instance}/webhook", {"name": name, "url": url, "enabled": True, **body})
        return made["webhookId"]

    def cycle(self, instance, webhooks):
        events = f"/instance/{instance}/events"
        self.api.call("POST", events, [message(self.cycles, number) for number in range(6)])
        self.api.call("POST", events, [{"event": "qrcode.updated", "data": {"qrcode": {"code": str(number)}}} for number in range(3)])
        self.api.call("POST", events, [presence(number) for number in range(3)] + [{"event": "messages.set", "data": [{"keyId": "1"}]}])
        repeated = {"event": "chats.update", "id": f"once-{self.cycles // 5}", "data": {"id": "1"}}
        self.api.call("POST", events, repeated)
        if self.cycles % 5 == 1:
            self.mistakes(events)
            self.by_hand(instance, webhooks)
            self.comes_and_goes(instance)

    def mistakes(self, events):
        self.api.call("POST", "/instance/nobody/events", message(0, 0), expect=None)
        self.api.call("POST", events, "{", expect=None)
        self.api.call("POST", events, {"event": "messages.upsert", "data": {"text": "x" * 200_000}}, expect=None)
        self.api = Api(f"{self.api.connection.host}:{self.api.connection.port}")

    def by_hand(self, instance, webhooks):
        failing = f"/instance/{instance}/webhook/{webhooks['failing']}"
        self.api.call("POST", f"/instance/{instance}/webhook/{webhooks['fine']}/test", expect=None)
        span = {"from": "2020-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z", "status": "dead"}
        self.api.call("POST", f"{failing}/replay", span, expect=None)
        done = self.api.call("GET", f"/instance/{instance}/webhook/{webhooks['fine']}/deliveries?limit=1")
        listed = done if isinstance(done, list) else next(value for value in done.values() if isinstance(value, list))
        for delivery in listed:
            self.api.call("POST", f"/instance/{instance}/webhook/{webhooks['fine']}/deliveries/{delivery['deliveryId']}/retry", expect=None)

    def comes_and_goes(self, instance):
        """A webhook that is paused with work and then deleted: its deliveries are cancelled."""
        webhook = self.make_webhook(instance, f"passing-{uuid.uuid4()}", {"path": "204"})
        self.api.call("POST", f"/instance/{instance}/webhook/{webhook}/pause")
        self.api.call("POST", f"/instance/{instance}/events", message(self.cycles, 99))
        self.api.call("DELETE", f"/instance/{instance}/webhook/{webhook}")


def message(cycle, number):
    jid = f"55119999900{number % 4:02}@s.whatsapp.net"
    return {"event": "messages.upsert", "data": {"messageId": f"{cycle}-{number}", "keyRemoteJid": jid, "content": {"text": "oi"}}}


def presence(number):
    return {"event": "presence.update", "data": {"id": "5511999990000@s.whatsapp.net", "presences": {"now": number}}}
