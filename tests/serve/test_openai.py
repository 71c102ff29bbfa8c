"""The official client of OpenAI's interface."""

import asyncio
import math

import openai
import pytest


@pytest.fixture(scope="module")
def client(service):
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def model(client):
    return client.models.list().data[0].id


def user(question):
    return [{"role": "user", "content": question}]


def test_models_are_listed_and_shown(client):
    models = client.models.list().data
    assert [model.mempack_role for model in models] == ["answers", "embeddings"]
    assert client.models.retrieve(models[0].id).id == models[0].id
    with pytest.raises(openai.NotFoundError) as refused:
        client.models.retrieve("another")
    assert refused.value.code == "model_not_found"


def test_a_question_is_answered_with_its_citations(client, model, asked, packs):
    question, answer = next(iter(asked.items()))
    completion = client.chat.completions.create(model=model, messages=user(question))
    [choice] = completion.choices
    assert (choice.message.content, choice.message.role, choice.finish_reason, completion.model) == (answer, "assistant", "stop", model)
    usage = completion.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens and usage.completion_tokens > 0
    texts = {document["id"]: document["text"] for documents in packs.documents.values() for document in documents}
    assert len(choice.message.annotations) >= 3
    for annotation in choice.message.annotations:
        # The client parses OpenAI's part; ours is kept beside it.
        cited, own = annotation.url_citation, annotation.model_extra["mempack"]
        assert annotation.type == "url_citation" and cited.url.startswith(f"mempack:{own['pack_id']}/") and cited.title
        assert 0 <= cited.start_index < cited.end_index <= len(answer)
        assert texts[own["document"]].encode()[own["start"] : own["end"]].decode() == own["text"]
        assert 0 <= own["attention"] <= 1
    assert sum(annotation.model_extra["mempack"]["attention"] for annotation in choice.message.annotations) <= 1


def test_a_stream_is_the_whole_answer(client, model, asked):
    question, answer = list(asked.items())[2]
    options = {"include_usage": True}
    with client.chat.completions.create(model=model, messages=user(question), stream=True, stream_options=options) as stream:
        chunks = list(stream)
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == answer
    assert chunks[0].choices[0].delta.role == "assistant"
    last = [choice for chunk in chunks for choice in chunk.choices][-1]
    assert last.finish_reason == "stop" and last.delta.model_extra["annotations"]
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens > 0
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert len({chunk.id for chunk in chunks}) == 1


def test_several_clients_at_once_without_threads(service, model, asked):
    few = dict(list(asked.items())[:4])

    async def whole(client, question):
        completion = await client.chat.completions.create(model=model, messages=user(question))
        return completion.choices[0].message.content

    async def streamed(client, question):
        stream = await client.chat.completions.create(model=model, messages=user(question), stream=True)
        return "".join([choice.delta.content or "" async for chunk in stream for choice in chunk.choices])

    async def all_at_once():
        async with openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0, timeout=60) as client:
            return await asyncio.gather(*(ask(client, question) for ask in (whole, streamed) for question in few))

    assert asyncio.run(all_at_once()) == [*few.values(), *few.values()]


def test_answers_are_drawn_by_seed(client, model):
    def drawn(seed):
        options = {"temperature": 2, "top_p": 0.99, "seed": seed, "n": 3, "max_tokens": 6, "extra_body": {"memories": False}}
        completion = client.chat.completions.create(model=model, messages=user("Tell a story."), **options)
        assert [choice.index for choice in completion.choices] == [0, 1, 2]
        return [choice.message.content for choice in completion.choices]

    first = drawn(11)
    assert first == drawn(11)
    assert len({*first, *drawn(12)}) > 1, "other seeds draw other answers"


def test_stop_and_max_tokens_end_answers(client, model, asked):
    question, answer = max(asked.items(), key=lambda both: len(both[1]))
    words = answer.split(" ")
    assert len(words) >= 4, answer
    stopped = client.chat.completions.create(model=model, messages=user(question), stop=[words[2]]).choices[0]
    assert (stopped.message.content, stopped.finish_reason) == (answer[: answer.index(words[2])], "stop")
    short = client.chat.completions.create(model=model, messages=user(question), max_tokens=2)
    assert short.choices[0].finish_reason == "length" and short.usage.completion_tokens == 2
    assert answer.startswith(short.choices[0].message.content)
    assert client.chat.completions.create(model=model, messages=user(question), max_completion_tokens=2).choices == short.choices


def test_log_probabilities_of_tokens(client, model, asked):
    question, answer = next(iter(asked.items()))
    choice = client.chat.completions.create(model=model, messages=user(question), logprobs=True, top_logprobs=3).choices[0]
    tokens = choice.logprobs.content
    said = [token for token in tokens if token.bytes]
    assert bytes(byte for token in said for byte in token.bytes).decode() == answer
    for token in tokens:
        assert token.logprob <= 0 and len(token.top_logprobs) == 3
        likely = [other.logprob for other in token.top_logprobs]
        # Greedy: the token is the most likely one, and with it the alternatives' probabilities are at most 1.
        assert likely == sorted(likely, reverse=True) and math.isclose(likely[0], token.logprob, abs_tol=1e-4)
        assert sum(map(math.exp, likely)) <= 1 + 1e-4


def test_fields_of_this_server_go_through_extra_body(client, model, asked, questions):
    question, answer = next(iter(asked.items()))

    def ask(**fields):
        return client.chat.completions.create(model=model, messages=user(question), extra_body=fields).choices[0]

    def cited(choice):
        return [annotation.model_extra["mempack"] for annotation in choice.message.annotations]

    assert {own["pack"] for own in cited(ask(packs=["legal"]))} == {"legal"}
    assert len(cited(ask(k=2))) == 2
    assert cited(ask(memories=False)) == [] and cited(ask(citations="none")) == []
    document = cited(ask(k=1))[0]["document"]
    others = cited(ask(where=f'id != "{document}"'))
    assert others and document not in {own["document"] for own in others}
    tokens = ask(citations="tokens").model_extra["attention"]["tokens"]
    assert "".join(token["text"] for token in tokens) == answer
    assert all(0 <= share <= 1 for token in tokens for share in token["shares"])
    assert ask(exact=True, strategy="diverse:0.5").message.content


def test_a_prompt_is_continued(client, model):
    prompt = "The days of the week are Monday, Tuesday, Wednesday,"

    def complete(prompt, **options):
        return client.completions.create(model=model, prompt=prompt, extra_body={"memories": False}, **options)

    whole = complete(prompt, max_tokens=3, logprobs=2)
    [choice] = whole.choices
    assert "Thursday" in choice.text and 0 < whole.usage.completion_tokens <= 3
    logprobs = choice.logprobs
    first = logprobs.tokens[0]
    assert choice.text.startswith(first) and logprobs.text_offset[:2] == [0, len(first)]
    assert all(len(likely) == 2 for likely in logprobs.top_logprobs)
    # No template: what follows the first token follows the prompt with it, too.
    assert complete(prompt + first, max_tokens=2).choices[0].text == choice.text.removeprefix(first)
    in_template = client.chat.completions.create(model=model, messages=user(prompt), max_tokens=1, extra_body={"memories": False})
    assert whole.usage.prompt_tokens < in_template.usage.prompt_tokens
    streamed = complete(prompt, max_tokens=3, stream=True)
    assert "".join(choice.text for chunk in streamed for choice in chunk.choices) == choice.text
    two = complete([prompt, "One, two, three,"], max_tokens=3)
    assert [choice.index for choice in two.choices] == [0, 1] and two.choices[0].text == choice.text


def test_a_prompt_is_continued_from_memories(client, model, asked):
    question, answer = next(iter(asked.items()))
    [choice] = client.completions.create(model=model, prompt=f"{question}\n", max_tokens=4).choices
    assert choice.text and choice.model_extra["annotations"][0]["mempack"]["pack"]


def test_embeddings(client, service):
    name = client.models.list().data[1].id
    texts = ["The half-life of velmorine", "velmorine's half life", "a tax on peat"]
    # Base64 is the client's default.
    packed = [row.embedding for row in client.embeddings.create(model=name, input=texts).data]
    plain = [row.embedding for row in client.embeddings.create(model=name, input=texts, encoding_format="float").data]
    for one, other in zip(packed, plain, strict=True):
        assert one == pytest.approx(other, abs=1e-7)
        assert math.isclose(sum(number * number for number in one), 1, abs_tol=1e-4)

    def similarity(one, other):
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert similarity(packed[0], packed[1]) > similarity(packed[0], packed[2]) + 0.2
    usage = client.embeddings.create(model=name, input="one text").usage
    assert usage.prompt_tokens == usage.total_tokens > 0
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model=name, input=[[1, 2]])
    assert refused.value.param == "input"


def test_errors_are_the_clients_exceptions(client, model):
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model=model, messages=user("What?"), temperature=3)
    assert (refused.value.param, refused.value.code, refused.value.status_code) == ("temperature", "invalid_value", 400)
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model=model, messages=user("What?"), tools=[{"type": "function", "function": {"name": "f"}}])
    assert (refused.value.param, refused.value.code) == ("tools", "unsupported_parameter")
    with pytest.raises(openai.NotFoundError) as refused:
        client.chat.completions.create(model="another", messages=user("What?"))
    assert refused.value.param == "model"


def test_errors_of_keys_are_the_clients_exceptions(keyed):
    with openai.OpenAI(base_url=f"{keyed.server.url}/v1", api_key="wrong", max_retries=0) as client, pytest.raises(openai.AuthenticationError) as refused:
        client.models.list()
    assert refused.value.code == "invalid_api_key"
    with openai.OpenAI(base_url=f"{keyed.server.url}/v1", api_key=keyed.secrets["twice"], max_retries=0) as client:
        name = client.models.list().data[1].id
        for _ in range(2):
            client.embeddings.create(model=name, input="a")
        with pytest.raises(openai.RateLimitError) as refused:
            client.embeddings.create(model=name, input="a")
    assert refused.value.code == "rate_limit_exceeded" and int(refused.value.response.headers["Retry-After"]) >= 1
