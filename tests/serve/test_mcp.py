"""The Model Context Protocol at /mcp, with its official client."""

import asyncio

import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client


def call(server, work, key=None):
    """What `work` does with a client."""

    async def run():
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        async with create_mcp_http_client(headers=headers) as http, Client(streamable_http_client(f"{server.url}/mcp", http_client=http)) as client:
            return await work(client)

    return asyncio.run(run())


def innermost(error):
    """The only error in groups of errors."""
    while isinstance(error, BaseExceptionGroup):
        [error] = error.exceptions
    return error


def tool(server, name, arguments, key=None):
    return call(server, lambda client: client.call_tool(name, arguments), key)


def test_the_tools_are_listed(service):
    tools = call(service, lambda client: client.list_tools()).tools
    assert {one.name for one in tools} == {"search", "ask"}
    for one in tools:
        assert one.description and one.input_schema["required"] and one.annotations.read_only_hint


def test_search_finds_passages(service, asked, packs):
    found = tool(service, "search", {"query": next(iter(asked)), "k": 3})
    passages = found.structured_content["passages"]
    assert not found.is_error and len(passages) == 3
    texts = {document["id"]: document["text"].encode() for documents in packs.documents.values() for document in documents}
    for passage in passages:
        assert texts[passage["document"]][passage["start"] : passage["end"]].decode() == passage["text"]
        assert passage["text"] in found.content[0].text
    similarities = [passage["similarity"] for passage in passages]
    assert similarities == sorted(similarities, reverse=True)
    legal = tool(service, "search", {"query": next(iter(asked)), "packs": ["legal"], "where": 'date > "1900-01-01"'})
    assert {passage["pack"] for passage in legal.structured_content["passages"]} == {"legal"}


def test_ask_answers_with_citations(service, asked):
    question, answer = next(iter(asked.items()))
    result = tool(service, "ask", {"question": question})
    assert not result.is_error and result.structured_content["answer"] == answer
    assert result.content[0].text.startswith(answer)
    passages = result.structured_content["passages"]
    assert passages and all(0 <= passage["attention"] <= 1 for passage in passages)


def test_mistakes_are_told_to_the_model(service):
    for name, arguments, param in [
        ("search", {"query": ""}, "query"),
        ("search", {"query": "a", "k": 0}, "k"),
        ("search", {"query": "a", "colour": 1}, "colour"),
        ("search", {"query": "a", "packs": ["tax"]}, "packs"),
        ("search", {"query": "a", "where": "date >"}, "where"),
        ("ask", {"question": 3}, "question"),
        ("ask", {"question": "a", "max_tokens": 0}, "max_tokens"),
    ]:
        result = tool(service, name, arguments)
        assert result.is_error and result.structured_content["error"]["param"] == param, (name, arguments, result)
    with pytest.raises(BaseExceptionGroup) as refused:
        tool(service, "delete", {})
    assert "there is no tool `delete`" in str(innermost(refused.value))


def test_keys_hold_for_tools(keyed, asked):
    assert keyed.server.post("/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).status == 401
    with pytest.raises(BaseExceptionGroup) as refused:
        tool(keyed.server, "search", {"query": "a"})
    assert isinstance(innermost(refused.value), MCPError)
    for name, other in [("medical", "legal"), ("legal", "medical")]:
        key = keyed.secrets[name]
        for question in asked:
            found = tool(keyed.server, "search", {"query": question, "k": 20}, key)
            assert {passage["pack"] for passage in found.structured_content["passages"]} == {name}
        refused = tool(keyed.server, "ask", {"question": "a", "packs": [other]}, key)
        assert refused.is_error and refused.structured_content["error"]["code"] == "pack_not_found"
    narrow = tool(keyed.server, "search", {"query": "a", "where": "true", "k": 20}, keyed.secrets["narrow"])
    assert {passage["document"] for passage in narrow.structured_content["passages"]} == {keyed.first_document}


def test_other_hosts_are_refused(service):
    """A page of another site could reach this machine under a name of its own."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    headers = {"Host": "evil.example", "Accept": "application/json, text/event-stream"}
    assert service.post("/mcp", body, headers=headers).status == 403
