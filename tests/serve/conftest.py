"""Packs, servers and options that the tests share."""

import json
import resource
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from service import ROOT, Program, Server, environment_is_whole  # noqa: E402
from streams import Others  # noqa: E402

# Documents of each sample that are in the packs of the tests.
DOCUMENTS = 4
# Of these, documents in the next version of the medical pack.
NEXT_DOCUMENTS = 2
OTHER_MODEL = ROOT / "format-spec/tests/golden/v1.5.mpk"


def pytest_addoption(parser):
    parser.addoption("--mempack", metavar="BINARY", help="the program")
    parser.addoption("--all-questions", action="store_true", help="compare the answers to all sample questions with `mempack ask`")
    parser.addoption("--thorough", action="store_true", help="10,000 connections and requests where the quick suite has fewer")


def pytest_configure(config):
    program = config.getoption("--mempack")
    if not program or not Path(program).is_file():
        raise pytest.UsageError(f"--mempack must name the program; there is none at {program}")
    missing = environment_is_whole()
    if missing:
        raise pytest.UsageError(f"missing: {', '.join(missing)}; `make models` gets models")
    if not shutil.which("curl"):
        raise pytest.UsageError("missing: the program curl")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    connections = 10_000 if config.getoption("--thorough") else 2_000
    if hard < connections + 500:
        raise pytest.UsageError(f"{hard} open files are allowed; {connections + 500} are needed: `ulimit -n`")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, connections + 500)), hard))


@pytest.fixture(scope="session")
def program(request):
    return Program(Path(request.config.getoption("--mempack")).resolve())


@pytest.fixture(scope="session")
def thorough(request):
    return request.config.getoption("--thorough")


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("serve")


def rows(domain, file):
    """The rows of a sample's file."""
    return [json.loads(line) for line in (ROOT / "kb-samples" / domain / file).read_text().splitlines()]


class Packs:
    """Two small packs of one model, and further versions of the first."""

    def __init__(self, program, folder):
        self.folder = folder
        self.documents = {domain: rows(domain, "corpus.jsonl")[:DOCUMENTS] for domain in ("medical", "legal")}
        self.medical, self.legal = folder / "medical.mpk", folder / "legal.mpk"
        # The codec needs no training.
        builds = [program.begin("build", self.corpus(domain, DOCUMENTS), "-o", folder / f"{domain}.mpk", "--codec", "F32", "--threads", "1") for domain in self.documents]
        for build in builds:
            program.end(build)
        self.next = folder / "next.mpk"
        program.run("build", self.corpus("medical", NEXT_DOCUMENTS), "-o", self.next, "--from", self.medical)
        self.damaged = folder / "damaged.mpk"
        content = bytearray(self.medical.read_bytes())
        content[len(content) // 2] ^= 0x10
        self.damaged.write_bytes(content)
        self.other_model = OTHER_MODEL

    def corpus(self, domain, documents):
        file = self.folder / f"{domain}-{documents}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in self.documents[domain][:documents]))
        return file

    def both(self):
        return [self.medical, self.legal]


@pytest.fixture(scope="session")
def packs(program, folder):
    return Packs(program, folder)


@pytest.fixture(scope="session")
def questions(packs):
    """Questions that the packs answer, by domain."""
    kept = {}
    for domain, documents in packs.documents.items():
        known = {document["id"] for document in documents}
        kept[domain] = [row["question"] for row in rows(domain, "questions.jsonl") if set(row["gold_ids"]) <= known]
        assert len(kept[domain]) >= 6, kept
    return kept


class Asked:
    """What `mempack ask` answers: to six questions, and to the last ones of conversations."""

    def __init__(self, program, packs, questions, folder):
        few = [question for domain in questions.values() for question in domain[:3]]
        self.conversations = [{"question": few[1], "earlier": self.turns(few[0])}, {"question": few[0], "earlier": self.turns(few[2], few[3])}]
        answers = program.ask(packs.both(), [*({"question": question} for question in few), *self.conversations], folder)
        self.answers = {question: answer["answer"] for question, answer in zip(few, answers)}
        self.of_conversations = [answer["answer"] for answer in answers[len(few) :]]

    @staticmethod
    def turns(*questions):
        known = {row["question"]: row["answers"][0] for domain in ("medical", "legal") for row in rows(domain, "questions.jsonl")}
        return [{"question": question, "answer": f"{known[question]}."} for question in questions]


@pytest.fixture(scope="session")
def all_asked(program, packs, questions, folder):
    return Asked(program, packs, questions, folder)


@pytest.fixture(scope="session")
def asked(all_asked):
    """The answers of `mempack ask` to six questions."""
    return all_asked.answers


@pytest.fixture(scope="session")
def service(program, packs, folder):
    """A server of both packs without keys."""
    with Server(program, folder, *packs.both(), "--receive-timeout", "3", "--connections", "11000", name="service") as server:
        yield server
        assert server.alive(), f"the server has ended:\n{server.log.read_text()[-4000:]}"


@pytest.fixture(scope="module")
def others(service, asked):
    """Clients of the server that keep asking while a module's tests run."""
    shortest = sorted(asked.items(), key=lambda both: len(both[1]))[:2]
    others = Others(service, dict(shortest))
    yield others
    others.end()


@pytest.fixture(scope="session")
def small(program, packs, folder):
    """A server that decodes one answer at once, lets two questions wait, and has room for 64 connections. Its audit log goes to a device that is always full.
    The tests of the last file end it."""
    arguments = ["--sequences", "1", "--queue", "2", "--connections", "64", "--audit-log", "/dev/full", "--drain-timeout", "30"]
    with Server(program, folder, *packs.both(), *arguments, name="small") as server:
        yield server


@pytest.fixture(scope="session")
def server_of_copies(program, packs, folder):
    """A server of copies of the packs, whose audit log has texts; and the copy of the first, which a test damages."""
    copies = folder / "copies"
    copies.mkdir()
    for pack in packs.both():
        shutil.copy(pack, copies)
    arguments = ["--cache", "0", "--audit-log", copies / "audit.jsonl", "--audit-texts"]
    with Server(program, folder, copies / "medical.mpk", copies / "legal.mpk", *arguments, name="copies") as server:
        yield server, copies / "medical.mpk"


KEYS = {
    "medical": ["--packs", "medical"],
    "legal": ["--packs", "legal"],
    "both": [],
    "twice": ["--quota", "2/h"],
    "admin": ["--admin"],
    "revoked": [],
}


class Keyed:
    """A server with keys, an audit log and a key of each kind."""

    def __init__(self, program, packs, folder):
        self.program, self.file, self.audit = program, folder / "keys.toml", folder / "audit.jsonl"
        self.first_document = packs.documents["medical"][0]["id"]
        self.secrets = {name: self.add(name, *arguments) for name, arguments in KEYS.items()}
        self.secrets["narrow"] = self.add("narrow", "--packs", "medical", "--where", f'id == "{self.first_document}"')
        self.server = Server(program, folder, *packs.both(), "--keys", self.file, "--audit-log", self.audit, name="keyed")

    def run(self, *arguments):
        return json.loads(self.program.run("api-keys", *arguments, "--keys", self.file, "--json"))

    def add(self, name, *arguments):
        return self.run("add", name, *arguments)["secret"]


@pytest.fixture(scope="session")
def keyed(program, packs, folder):
    keyed = Keyed(program, packs, folder)
    with keyed.server:
        yield keyed
        assert keyed.server.alive(), f"the server has ended:\n{keyed.server.log.read_text()[-4000:]}"
