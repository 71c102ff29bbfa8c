"""The description at /openapi.json: it validates, and says what the server does."""

import pytest
from openapi_spec_validator import validate

# A value that is right for every field, by endpoint and name.
COMMON = {
    "stream": False,
    "temperature": 0.5,
    "top_p": 0.9,
    "seed": 1,
    "stop": ["\n\n"],
    "max_tokens": 1,
    "n": 1,
    "user": "somebody",
    "memories": True,
    "texts": False,
    "k": 1,
    "packs": ["legal"],
    "exact": True,
    "citations": "tokens",
    "where": 'date > "1900-01-01"',
    "strategy": "similarity:0.5",
    "rerank": False,
}
VALUES = {
    "/v1/chat/completions": {**COMMON, "messages": [{"role": "user", "content": "Why?"}], "max_completion_tokens": 1, "logprobs": True, "top_logprobs": 1},
    "/v1/completions": {**COMMON, "prompt": "Once", "logprobs": 1},
    "/v1/embeddings": {"input": ["a"], "encoding_format": "base64", "dimensions": 384, "input_type": "query", "user": "somebody"},
}
# Fields that need others.
BESIDE = {"top_p": {"temperature": 1}, "top_logprobs": {"logprobs": True}, "stream_options": {"stream": True}, "max_completion_tokens": {"max_tokens": 1}}
ACCEPTED_PART = {"/v1/chat/completions": ["messages"], "/v1/completions": ["prompt"], "/v1/embeddings": ["input"]}


@pytest.fixture(scope="module")
def described(service):
    reply = service.get("/openapi.json")
    assert reply.status == 200
    return reply.json()


def fields(described, schema):
    """The names of the fields of a schema, of all its parts."""
    if "$ref" in schema:
        schema = described["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    names = set(schema.get("properties", {}))
    for part in schema.get("allOf", []):
        names |= fields(described, part)
    return names


def test_it_validates(described):
    validate(described)
    assert described["openapi"].startswith("3.")


def test_every_route_answers(described, service):
    routes = [(path, method) for path, methods in described["paths"].items() for method in methods]
    expected = {"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/models", "/packs", "/packs/{name}", "/healthz", "/readyz", "/metrics"}
    assert expected <= {path for path, _ in routes}
    for path, method in routes:
        concrete = path.replace("{name}", "unknown")
        reply = service.request(method.upper(), concrete, {} if method in ("post", "put") else None)
        known = {"/packs/{name}": 403, "/v1/models/{name}": 404}.get(path, 400 if method == "post" else 200)
        assert reply.status == known, (path, method, reply.body)
        if reply.status != 200:
            assert reply.error["code"] != "unknown_url", path
        wrong = service.request("PATCH", concrete)
        assert (wrong.status, wrong.error["code"]) == (405, "wrong_method"), path


@pytest.mark.parametrize("path", VALUES)
def test_the_schema_has_the_fields_that_are_tested(described, path):
    schema = described["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    further = {"model"} if path == "/v1/embeddings" else {"model", "stream_options"}
    assert fields(described, schema) == {*VALUES[path], *further}


@pytest.mark.parametrize("path", VALUES)
def test_every_field_is_accepted(service, path):
    values = {**VALUES[path], "stream_options": {"include_usage": True}} if path != "/v1/embeddings" else dict(VALUES[path])
    values["model"] = service.get("/v1/models").json()["data"][path == "/v1/embeddings"]["id"]
    least = {name: values[name] for name in ACCEPTED_PART[path]}
    if path != "/v1/embeddings":
        least["max_tokens"] = 1
    for name, value in values.items():
        reply = service.post(path, {**least, **BESIDE.get(name, {}), name: value})
        assert reply.status == 200, (name, reply.body)
        # The value null is the same as none, where a field may be left out.
        if name not in least:
            assert service.post(path, {**least, **BESIDE.get(name, {}), name: None}).status == 200, name
    everything = {name: value for name, value in values.items() if name != "stream_options"}
    assert service.post(path, everything).status == 200


@pytest.mark.parametrize("path", VALUES)
def test_other_fields_are_refused_by_name(service, path):
    least = {name: VALUES[path][name] for name in ACCEPTED_PART[path]}
    reply = service.post(path, {**least, "colour": "red"})
    assert (reply.status, reply.error["code"], reply.error["param"]) == (400, "unknown_parameter", "colour")
    assert "`colour`" in reply.error["message"]
