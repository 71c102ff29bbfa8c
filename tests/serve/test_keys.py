"""Keys: who may ask, how often, and what they see."""

import json
import random
from concurrent.futures import ThreadPoolExecutor

QUICK_REQUESTS, THOROUGH_REQUESTS = 300, 10_000
SEED = 20


def test_requests_without_a_valid_key_are_refused(keyed):
    wrong = [None, "wrong", "mpk-" + "a" * 52, keyed.secrets["both"] + "a", keyed.secrets["both"][:-1], "é"]
    paths = ["/v1/models", "/v1/models/any", "/packs", "/metrics"]
    for key in wrong:
        header = {"Authorization": f"Bearer {key}".encode()} if key else {}
        for path in paths:
            reply = keyed.server.get(path, headers=header)
            assert (reply.status, reply.error["code"], reply.headers["WWW-Authenticate"]) == (401, "invalid_api_key", "Bearer"), path
        for path in ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"]:
            assert keyed.server.post(path, {}, headers=header).status == 401
        assert keyed.server.request("PUT", "/packs/more", {"path": "more.mpk"}, headers=header).status == 401
    assert keyed.server.get("/v1/models", headers={"Authorization": f"Basic {keyed.secrets['both']}"}).status == 401
    for path in ["/healthz", "/readyz", "/openapi.json"]:
        assert keyed.server.get(path).status == 200


def test_a_quota_is_kept(keyed):
    key = keyed.add("thrice", "--quota", "3/min")
    keyed.server.until(lambda: keyed.server.get("/v1/models", key=key).status == 200, "a new key is taken in within 2 s", seconds=2.5)
    statuses = [keyed.server.post("/v1/embeddings", {"input": "a"}, key=key).status for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    reply = keyed.server.chat("What?", key=key)
    assert (reply.status, reply.error["code"]) == (429, "rate_limit_exceeded")
    assert 1 <= int(reply.headers["Retry-After"]) <= 20
    # Lists take nothing out of it, and others are not concerned.
    assert keyed.server.get("/packs", key=key).status == 200
    assert keyed.server.post("/v1/embeddings", {"input": "a"}, key=keyed.secrets["both"]).status == 200


def test_a_revoked_key_is_refused_soon(keyed):
    key = keyed.secrets["revoked"]
    assert keyed.server.get("/v1/models", key=key).status == 200
    keyed.run("revoke", "revoked")
    keyed.server.until(lambda: keyed.server.get("/v1/models", key=key).status == 401, "the key is refused", seconds=2)


def test_a_rotated_key_has_another_secret(keyed):
    old = keyed.add("rotated", "--packs", "legal")
    new = keyed.run("rotate", "rotated")["secret"]
    keyed.server.until(lambda: keyed.server.get("/v1/models", key=new).status == 200, "the new secret is taken in", seconds=2.5)
    assert keyed.server.get("/v1/models", key=old).status == 401


def test_a_file_of_keys_that_is_not_right_changes_nothing(keyed):
    content = keyed.file.read_text()
    keyed.file.write_text(content + "\n[[key]]\nname = 3\n")
    keyed.server.until(lambda: "the keys stay as they were" in keyed.server.log.read_text(), "the mistake is logged", seconds=4)
    assert keyed.server.get("/v1/models", key=keyed.secrets["both"]).status == 200
    keyed.file.write_text(content)


def cited(reply):
    assert reply.status == 200, reply.body
    return [note["mempack"] for note in reply.json()["choices"][0]["message"]["annotations"]]


def test_no_request_widens_the_filter_of_a_key(keyed, asked):
    key, question = keyed.secrets["narrow"], next(iter(asked))
    for where in [None, "true", 'id != "none"', f'true || id == "{keyed.first_document}"', 'true) || (true']:
        reply = keyed.server.chat(question, key=key, max_tokens=1, exact=True, **({"where": where} if where else {}))
        if where == "true) || (true":
            assert (reply.status, reply.error["param"]) == (400, "where")
        else:
            assert {own["document"] for own in cited(reply)} == {keyed.first_document}
    nothing = keyed.server.chat(question, key=key, max_tokens=1, where=f'id != "{keyed.first_document}"')
    assert nothing.status >= 400 or cited(nothing) == []
    [pack] = keyed.server.get("/packs", key=key).json()["data"]
    assert (pack["name"], pack["documents"], pack["bytes"]) == ("medical", 1, None)
    [whole] = keyed.server.get("/packs", key=keyed.secrets["medical"]).json()["data"]
    assert whole["documents"] > 1 and 0 < pack["references"] < whole["references"]


def test_administrators_see_the_metrics_of_all(keyed, asked):
    keyed.server.chat(next(iter(asked)), key=keyed.secrets["medical"], max_tokens=1)
    everything = keyed.server.metrics(keyed.secrets["admin"])
    own = keyed.server.metrics(keyed.secrets["medical"])
    assert everything["mempack_packs_mounted"] == 2 and "mempack_packs_mounted" not in own
    name = "mempack_answer_tokens_total"
    assert everything[name] >= own[name] > 0


class Tenant:
    """A key with its pack, and the words that tell of it."""

    def __init__(self, keyed, packs, name, questions):
        self.name, self.key, self.questions = name, keyed.secrets[name], questions
        infos = keyed.server.get("/packs", key=keyed.secrets["admin"]).json()["data"]
        self.id = next(info["id"] for info in infos if info["name"] == name)
        self.documents = {document["id"] for document in packs.documents[name]}
        # What would give it away: its pack, its id, its documents and their titles.
        self.signs = {self.id, f'"{name}"', *self.documents, *(document["title"] for document in packs.documents[name])}


def requests(random, tenant, other):
    """A random request of a tenant, often for what is the other's."""
    question = random.choice([*tenant.questions, *other.questions])
    chat = {"messages": [{"role": "user", "content": question}], "max_tokens": 1, "citations": random.choice(["chunks", "tokens"])}
    chat |= random.choice([{}, {}, {"stream": True}, {"exact": True}, {"k": 1}, {"logprobs": True}, {"strategy": "diverse:0.5"}])
    pack = random.choice([None, None, [tenant.name], [other.name], [tenant.name, other.name], [other.id], ["../" + other.name]])
    if pack:
        chat["packs"] = pack
    if random.random() < 0.3:
        document = random.choice(sorted(other.documents))
        chat["where"] = random.choice([f'id == "{document}"', "true", 'date > "1900-01-01"', 'jurisdiction == "BY"'])
    return random.choice(
        [
            *[("POST", "/v1/chat/completions", chat)] * 5,
            ("POST", "/v1/embeddings", {"input": question}),
            ("GET", "/packs", None),
            ("GET", "/metrics", None),
            ("GET", "/v1/models", None),
            ("GET", f"/v1/models/{other.name}", None),
            ("DELETE", f"/packs/{other.name}", None),
            ("PUT", f"/packs/{other.name}", {"path": f"{other.name}.mpk"}),
            ("POST", "/v1/completions", {"prompt": question, "max_tokens": 1}),
        ]
    )


def test_two_keys_see_nothing_of_each_other(keyed, packs, questions, thorough):
    tenants = [Tenant(keyed, packs, name, questions[name][:3]) for name in ("medical", "legal")]
    count = THOROUGH_REQUESTS if thorough else QUICK_REQUESTS
    log_from = keyed.server.log.stat().st_size

    def send(number):
        drawn = random.Random(SEED * 1_000_000 + number)
        tenant, other = tenants[:: 1 if number % 2 else -1]
        method, path, body = requests(drawn, tenant, other)
        reply = keyed.server.request(method, path, body, key=tenant.key)
        sent, received = json.dumps(body or {}) + path, reply.body.decode() + str(reply.headers)
        # A request's own words may come back in an error; nothing else of the other may.
        shown = sorted(sign for sign in other.signs if sign in received and sign.strip('"') not in sent)
        if reply.status == 200:
            shown += sorted(sign for sign in other.signs if sign in received and path != "/v1/models")
        assert reply.status < 500, (method, path, body, reply.body)
        return (method, path, body, shown) if shown else None, reply.status

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(send, range(count)))
    assert [shown for shown, _ in results if shown] == []
    statuses = [status for _, status in results]
    assert statuses.count(200) > count / 3 and statuses.count(404) > count / 30
    # Metrics of a key are those of its own requests.
    paths = [requests(random.Random(SEED * 1_000_000 + number), *tenants[:: 1 if number % 2 else -1])[1] for number in range(count)]
    for at, tenant in enumerate(tenants):
        own = sum(path == "/v1/embeddings" for number, path in enumerate(paths) if (number % 2 == 0) == bool(at))
        counted = keyed.server.metrics(tenant.key)
        embeddings = sum(value for name, value in counted.items() if name.startswith('mempack_requests_total{endpoint="/v1/embeddings"'))
        assert embeddings >= own > 0
        assert not any(other in name for name in counted for other in ("legal", "medical"))
    # Each line of the audit log names the packs of its own key alone.
    lines = [json.loads(line) for line in keyed.audit.read_text().splitlines()]
    for tenant, other in (tenants, tenants[::-1]):
        own = [line for line in lines if line["key"] == tenant.name]
        read = {pack["id"] for line in own for pack in line["packs"]}
        assert len(own) >= count // 2 and read == {tenant.id}
        assert not any(sign in json.dumps(own) for sign in other.signs - {f'"{other.name}"'})
    with keyed.server.log.open() as log:
        log.seek(log_from)
        told = log.read()
    for tenant in tenants:
        assert not any(question in told or title in told for question in tenant.questions for title in tenant.documents)


def test_the_audit_log_has_references_and_no_texts(keyed, asked):
    question, answer = next(iter(asked.items()))
    reply = keyed.server.chat(question, key=keyed.secrets["both"])
    own = cited(reply)
    request = reply.json()["id"].removeprefix("chatcmpl-")
    keyed.server.until(lambda: request in keyed.audit.read_text(), "the line is written")
    content = keyed.audit.read_text()
    [line] = [line for line in map(json.loads, content.splitlines()) if line["request"] == request]
    assert (line["key"], line["endpoint"], line["outcome"], line["status"]) == ("both", "/v1/chat/completions", "ok", 200)
    assert {(pack["id"], number) for pack in line["packs"] for number in pack["references"]} == {(one["pack_id"], one["reference"]) for one in own}
    assert line["tokens_in"] == reply.json()["usage"]["prompt_tokens"] and line["tokens_out"] > 0
    assert line["ms"]["total"] >= line["ms"]["first_token"] > 0 and "text" not in line
    assert question not in content and answer not in content
    assert not any(secret in content for secret in keyed.secrets.values())
    assert any(line["status"] == 401 and line["key"] is None for line in map(json.loads, content.splitlines()))


def test_the_audit_log_has_texts_if_asked(server_of_copies, folder, asked):
    server, _ = server_of_copies
    question, audit = next(iter(asked)), folder / "copies/audit.jsonl"
    server.chat(question, max_tokens=1, packs=["legal"])
    server.until(lambda: question in audit.read_text(), "the text is written")


def test_a_full_disk_for_the_log_fails_nothing(small, asked):
    question, answer = next(iter(asked.items()))
    assert small.answer(question) == answer
    small.until(lambda: "attention" in small.log.read_text(), "lines that are lost are told")
    assert small.answer(question) == answer


def test_without_keys_the_service_listens_on_loopback_only(program, packs):
    process = program.begin("serve", packs.medical, "--listen", "0.0.0.0:0")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2 and "loopback only" in said, said
