"""Packs that come, change and go while the server runs."""

import functools
import http.server
import os
import shutil
import threading
from pathlib import Path

import pytest
from service import Server
from streams import Stream


class Shelf:
    """A server with a folder of packs, in which packs must be signed."""

    def __init__(self, program, packs, folder):
        self.program, self.packs = program, packs
        self.folder, self.outside, self.site = folder / "shelf", folder / "outside", folder / "site"
        for made in (self.folder, self.outside, self.site / "packs", self.site / "private"):
            made.mkdir(parents=True)
        self.key = folder / "signer"
        program.run("keygen", "-o", self.key)
        self.first, self.next, self.legal = (self.signed(pack) for pack in (packs.medical, packs.next, packs.legal))
        self.damaged = self.outside / "damaged.mpk"
        content = bytearray(self.next.read_bytes())
        content[len(content) // 2] ^= 0x10
        self.damaged.write_bytes(content)
        self.other_model = self.signed(packs.other_model)
        self.put_file(self.first, "medical")
        shutil.copy(self.next, self.site / "packs/next.mpk")
        shutil.copy(self.damaged, self.site / "packs/damaged.mpk")
        shutil.copy(self.other_model, self.site / "packs/other.mpk")
        shutil.copy(self.next, self.site / "private/next.mpk")
        handler = functools.partial(Quiet, directory=self.site)
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        arguments = ["--packs-dir", self.folder, "--trusted", f"{self.key}.pub", "--admin", "--allow-url", f"{self.address}/packs/"]
        self.server = Server(program, folder, self.legal, *arguments, name="shelf")

    def signed(self, pack):
        signed = self.outside / f"{Path(pack).stem}.mpk"
        self.program.run("sign", "--key", self.key, pack, "-o", signed)
        return signed

    def put_file(self, pack, name):
        """Renames a copy of a pack into the folder."""
        part = self.folder / f".{name}.part"
        shutil.copy(pack, part)
        part.rename(self.folder / f"{name}.mpk")

    def mounted(self):
        """The ids of the packs, by name."""
        return {pack["name"]: pack["id"] for pack in self.server.get("/packs").json()["data"]}

    def put(self, name, **body):
        return self.server.request("PUT", f"/packs/{name}", body)

    def until_mounted(self, name, wanted):
        self.server.until(lambda: self.mounted().get(name) == wanted, f"{name} is {wanted}")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def shelf(program, packs, tmp_path_factory):
    shelf = Shelf(program, packs, tmp_path_factory.mktemp("shelf"))
    try:
        with shelf.server:
            yield shelf
    finally:
        shelf.http.shutdown()


@pytest.fixture(scope="module")
def ids(shelf):
    """Ids of the first and of the next version of the medical pack."""
    first = shelf.mounted()["medical"]
    reply = shelf.put("version", url=f"{shelf.address}/packs/next.mpk")
    assert reply.status == 200, reply.body
    assert shelf.server.request("DELETE", "/packs/version").status == 204
    (shelf.folder / "version.mpk").unlink()
    return {"first": first, "next": reply.json()["id"]}


@pytest.fixture
def medical(shelf, ids):
    """The first version is mounted as medical."""
    if shelf.mounted().get("medical") != ids["first"]:
        shelf.put_file(shelf.first, "medical")
        reply = shelf.put("medical", path="medical.mpk")
        assert reply.status == 200, reply.body
    return ids["first"]


def refused(reply, status, code):
    assert (reply.status, reply.error["code"]) == (status, code), reply.body
    return reply.error["message"]


def test_packs_are_listed(shelf, medical):
    data = shelf.server.get("/packs").json()["data"]
    assert {pack["name"] for pack in data} == {"medical", "legal"}
    for pack in data:
        assert len(pack["signed_by"]) == 1 and pack["codec"] == "F32" and pack["documents"] == 4 and pack["references"] > 4
        assert {"id", "title", "date"} <= set(pack["fields"])


def test_a_pack_is_mounted_and_unmounted(shelf, medical, ids, asked):
    question = next(iter(asked))
    shutil.copy(shelf.next, shelf.folder / "second.other")
    reply = shelf.put("second", path="second.other")
    assert reply.status == 200 and reply.json()["name"] == "second" and reply.json()["id"] == ids["next"]
    own = [note["mempack"] for note in shelf.server.chat(question, packs=["second"]).json()["choices"][0]["message"]["annotations"]]
    assert {(cited["pack"], cited["pack_id"]) for cited in own} == {("second", ids["next"])}
    assert shelf.server.request("DELETE", "/packs/second").status == 204
    refused(shelf.server.chat(question, packs=["second"]), 404, "pack_not_found")
    refused(shelf.server.request("DELETE", "/packs/second"), 404, "pack_not_found")
    refused(shelf.server.request("DELETE", "/packs/legal"), 409, "pack_fixed")
    refused(shelf.put("legal", path="second.other"), 409, "pack_fixed")


def test_a_new_version_is_mounted_while_a_stream_keeps_the_old_one(shelf, medical, ids, asked):
    question = next(iter(asked))
    with Stream(shelf.server, question, n=4, max_tokens=40, temperature=2, seed=7, packs=["medical"]) as stream:
        texts = stream.texts()
        next(texts)
        shelf.put_file(shelf.next, "medical")
        shelf.until_mounted("medical", ids["next"])
        for _ in texts:
            pass
        assert stream.whole
        annotations = stream.last["choices"][0]["delta"]["annotations"]
        assert {note["mempack"]["pack_id"] for note in annotations} == {medical}
    annotations = shelf.server.chat(question, packs=["medical"]).json()["choices"][0]["message"]["annotations"]
    assert {note["mempack"]["pack_id"] for note in annotations} == {ids["next"]}


def test_packs_that_do_not_fit_are_refused_and_the_old_one_stays(shelf, medical, packs):
    unsigned = {"damaged": (shelf.damaged, "pack_damaged"), "unsigned": (packs.next, "pack_refused"), "other": (shelf.other_model, "pack_refused")}
    for name, (pack, code) in unsigned.items():
        shutil.copy(pack, shelf.folder / f"{name}.file")
        message = refused(shelf.put("medical", path=f"{name}.file"), 409, code)
        assert message and shelf.mounted()["medical"] == medical
        # The same by a rename in the folder: the log tells it.
        shelf.put_file(pack, "medical")
        shelf.server.until(lambda: "not mounted" in shelf.server.log.read_text(), "the refusal is logged")
        assert shelf.mounted()["medical"] == medical
    for junk in (b"", b"no pack", os.urandom(4096)):
        (shelf.folder / "junk.file").write_bytes(junk)
        refused(shelf.put("medical", path="junk.file"), 409, "pack_damaged")
    assert shelf.mounted()["medical"] == medical
    shelf.put_file(shelf.first, "medical")


def test_paths_outside_are_refused(shelf, medical):
    (shelf.folder / "link.file").symlink_to(shelf.next)
    (shelf.folder / "links").symlink_to(shelf.outside)
    paths = [f"../outside/{shelf.next.name}", str(shelf.next), "link.file", f"links/{shelf.next.name}", "/dev/zero", "/proc/self/mem"]
    paths += ["../outside/nothing.mpk", "/nothing/at/all.mpk", "links/../../outside"]
    for path in paths:
        refused(shelf.put("stolen", path=path), 403, "forbidden")
    refused(shelf.put("stolen", path="nothing.mpk"), 404, "file_not_found")
    for name in ["a b", ".hidden", "..%2Fmedical", "a" * 65, "%00"]:
        reply = shelf.server.request("PUT", f"/packs/{name.replace(' ', '%20')}", {"path": "medical.mpk"})
        assert 400 <= reply.status < 500 and reply.error["code"], (name, reply.body)
    refused(shelf.put("stolen", path="."), 409, "pack_damaged")
    assert set(shelf.mounted()) == {"medical", "legal"}


def test_addresses_are_fetched_only_below_those_allowed(shelf, medical, ids):
    assert shelf.put("fetched", url=f"{shelf.address}/packs/next.mpk").json()["id"] == ids["next"]
    assert (shelf.folder / "fetched.mpk").read_bytes() == shelf.next.read_bytes()
    forbidden = [
        f"{shelf.address}/private/next.mpk",
        f"{shelf.address}/packs/../private/next.mpk",
        f"{shelf.address}/packs/%2e%2e/private/next.mpk",
        f"{shelf.address.replace('127.0.0.1', 'localhost')}/packs/next.mpk",
        f"http://127.0.0.1:{shelf.server.port}/packs/next.mpk",
        f"file://{shelf.next}",
        "packs/next.mpk",
    ]
    for url in forbidden:
        refused(shelf.put("fetched", url=url), 403, "forbidden")
    refused(shelf.put("fetched", url=f"{shelf.address}/packs/none.mpk"), 409, "pack_not_fetched")
    refused(shelf.put("fetched", url=f"{shelf.address}/packs/damaged.mpk"), 409, "pack_damaged")
    assert shelf.put("fetched").status == 400 and shelf.put("fetched", url="a", path="b").status == 400
    assert shelf.put("fetched", path="medical.mpk", colour=1).error["param"] == "colour"
    assert shelf.mounted()["fetched"] == ids["next"]
    assert not list(shelf.folder.glob(".*.part")), "what was not whole is removed"
    assert shelf.server.request("DELETE", "/packs/fetched").status == 204
    (shelf.folder / "fetched.mpk").unlink()


def test_a_fetched_pack_that_is_refused_leaves_the_file(shelf, medical):
    before = (shelf.folder / "medical.mpk").read_bytes()
    try:
        refused(shelf.put("medical", url=f"{shelf.address}/packs/other.mpk"), 409, "pack_refused")
        assert shelf.mounted()["medical"] == medical
        assert (shelf.folder / "medical.mpk").read_bytes() == before, "a later start would find the refused pack"
    finally:
        shelf.put_file(shelf.first, "medical")


def test_a_restart_keeps_what_was_mounted(shelf, medical, ids, asked):
    """SIGKILL, then another start."""
    shutil.copy(shelf.next, shelf.folder / "kept.file")
    assert shelf.put("kept", path="kept.file").status == 200
    shelf.put_file(shelf.next, "dropped")
    shelf.until_mounted("dropped", ids["next"])
    assert shelf.server.request("DELETE", "/packs/dropped").status == 204
    before = shelf.mounted()
    assert set(before) == {"medical", "legal", "kept"}
    shelf.server.kill()
    shelf.server.start()
    assert shelf.server.get("/readyz").status == 200
    assert shelf.mounted() == before
    assert shelf.server.answer(next(iter(asked)), packs=["medical"])
    # Another version of what was unmounted is mounted again; a file that leaves is unmounted.
    shelf.put_file(shelf.first, "dropped")
    shelf.until_mounted("dropped", ids["first"])
    (shelf.folder / "dropped.mpk").unlink()
    shelf.until_mounted("dropped", None)


def test_nobody_administers_without_being_allowed(service, keyed):
    for server, key in [(service, None), (keyed.server, keyed.secrets["both"])]:
        for method, body in [("PUT", {"path": "medical.mpk"}), ("DELETE", None)]:
            reply = server.request(method, "/packs/medical", body, key=key)
            assert (reply.status, reply.error["code"]) == (403, "forbidden")
    assert keyed.server.request("DELETE", "/packs/medical").status == 401
    # An administrator may, but this server has no folder.
    reply = keyed.server.request("PUT", "/packs/more", {"path": "medical.mpk"}, key=keyed.secrets["admin"])
    assert (reply.status, reply.error["code"]) == (409, "no_folder")
