"""Spans go to a collector of OpenTelemetry, if one is named."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from service import Server

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Collector(BaseHTTPRequestHandler):
    """Keeps what is sent."""

    received = []

    def do_POST(self):
        self.received.append((self.path, self.headers["Content-Type"], self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_a_span_of_every_request_goes_to_the_collector(program, packs, folder, monkeypatch):
    collector = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
    try:
        with Server(program, folder, *packs.both(), name="spans") as server:
            request = {"messages": [{"role": "user", "content": "What is it?"}], "max_tokens": 2}
            assert server.post("/v1/chat/completions", request, headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}).status == 200
            assert server.get("/v1/models").status == 200
            # What waits is sent when the service ends.
            assert server.stop() == 0
    finally:
        collector.shutdown()
    assert all((path, kind) == ("/v1/traces", "application/x-protobuf") for path, kind, _ in Collector.received)
    sent = b"".join(body for _, _, body in Collector.received)
    for part in [b"/v1/chat/completions", b"/v1/models", b"first token", b"mempack.outcome", b"gen_ai.usage.output_tokens", bytes.fromhex(TRACE)]:
        assert part in sent, part
