"""What `gflow serve` answers, and all that it refuses."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from gflow.cli.main import main
from gflow.runs.holder import Holder, NotRunningError, born
from gflow.serve.app import application
from gflow.serve.control import Control
from gflow.serve.guard import HEADER
from gflow.serve.inside import OutsideError, run_at, run_names
from gflow.serve.state import Watch
from tests.gflow.report.folders import run_folder

TOKEN = "the-token"
HOME = "http://127.0.0.1:8765"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "runs"
    run_folder(root / "done")
    run_folder(root / "sweep" / "one", finished=False, steps=500)
    run_folder(tmp_path / "private")
    (root / "notes").mkdir()
    return root


@pytest.fixture
def client(root: Path) -> Iterator[TestClient]:
    with TestClient(application(root, TOKEN), base_url=HOME, follow_redirects=False) as client:
        yield client


@pytest.fixture
def reader(client: TestClient) -> TestClient:
    client.cookies.set("gflow_8765", TOKEN)
    return client


def held(folder: Path, pid: int, born_at: str, host: str | None = None) -> None:
    """Write a lock as a process of a run does."""
    about = {"pid": pid, "host": host or os.uname().nodename, "born": born_at, "since": "now"}
    (folder / "run.lock").write_text(json.dumps(about))


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    """A process that counts the signals it gets, until it is told to end."""
    code = (
        "import signal, sys\n"
        "seen = []\n"
        "signal.signal(signal.SIGINT, lambda *a: seen.append(1))\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "print(len(seen), flush=True)\n"
    )
    pipe = subprocess.PIPE
    found = subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True)
    assert found.stdout is not None
    assert found.stdout.readline() == "ready\n"
    yield found
    found.kill()
    found.communicate()


def signals(process: subprocess.Popen[str]) -> int:
    return int(process.communicate("\n")[0])


# ---------------------------------------------------------------------- reading


def test_the_list(reader: TestClient) -> None:
    runs = {run["name"]: run for run in reader.get("/api/runs").json()["runs"]}
    assert set(runs) == {"done", "sweep/one"}
    assert (runs["done"]["state"], runs["sweep/one"]["state"]) == ("finished", "stopped")
    assert (runs["sweep/one"]["step"], runs["sweep/one"]["steps"]) == (200, 500)
    assert runs["done"]["metrics"]["tv"] == 0.01
    assert "Runs" in reader.get("/").text


def test_states_follow_the_process(root: Path, process: subprocess.Popen[str]) -> None:
    folder = root / "sweep" / "one"
    watch = Watch(root)
    held(folder, process.pid, born(process.pid))
    assert watch.run("sweep/one").state == "training"
    held(folder, process.pid, "another time")
    assert watch.run("sweep/one").state == "killed", "the number belongs to somebody else now"
    held(folder, process.pid, born(process.pid), "elsewhere.example")
    assert watch.run("sweep/one").state == "elsewhere"


def test_a_process_that_is_over_but_not_collected_trains_nothing() -> None:
    over = subprocess.Popen([sys.executable, "-c", ""])
    moment = born(over.pid)
    os.waitid(os.P_PID, over.pid, os.WEXITED | os.WNOWAIT)
    assert moment
    assert born(over.pid) == ""
    over.wait()


def test_the_page_of_a_run_and_what_changes(reader: TestClient, root: Path) -> None:
    page = reader.get("/run/sweep/one").text
    assert 'content="sweep/one"' in page
    assert "at step 200 of 500" in page
    first = reader.get("/api/run/sweep/one").json()
    assert "<svg" in first["parts"]["curves"]
    again = {"changed": first["changed_at"]}
    assert "parts" not in reader.get("/api/run/sweep/one", params=again).json()
    with (root / "sweep" / "one" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 300, "tv": 0.005}\n')
    now = reader.get("/api/run/sweep/one", params=again).json()
    assert now["step"] == 300
    assert "0.005 at step 300" in now["parts"]["curves"]


def test_a_damaged_run_hides_no_other(reader: TestClient, root: Path) -> None:
    (root / "done" / "config.yaml").write_text("- [")
    assert [run["name"] for run in reader.get("/api/runs").json()["runs"]] == ["sweep/one"]
    assert "cannot be read" in reader.get("/run/done").json()["error"]


# ---------------------------------------------------------------------- who may ask


def test_nothing_is_read_without_the_token(client: TestClient) -> None:
    for path in ("/", "/api/runs", "/run/done", "/live.js", "/api/run/done", "/?token=wrong"):
        assert client.get(path).status_code == 403, path
    client.cookies.set("gflow_8765", TOKEN[:-1])
    assert client.get("/api/runs").status_code == 403


def test_the_printed_address_becomes_a_cookie(client: TestClient) -> None:
    answer = client.get(f"/?token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert client.get("/").status_code == 200
    away = client.get(f"{HOME}//evil.example?token={TOKEN}")
    assert away.headers["location"] == "/evil.example"


@pytest.mark.parametrize("verb", ["stop", "resume"])
def test_a_cookie_alone_changes_nothing(reader: TestClient, verb: str) -> None:
    for headers in ({}, {HEADER: "wrong"}, {HEADER: ""}):
        assert reader.post(f"/api/{verb}/done", headers=headers).status_code == 403
    assert reader.get(f"/api/{verb}/done").status_code == 405
    assert reader.put(f"/api/{verb}/done", headers={HEADER: TOKEN}).status_code == 405
    right = reader.post(f"/api/{verb}/done", headers={HEADER: TOKEN})
    assert right.status_code == 409, "the run is finished"


def test_other_names_and_other_pages_are_refused(reader: TestClient) -> None:
    for host in ("evil.example", "evil.example:8765", "127.0.0.1.evil.example", "", "a@127.0.0.1"):
        answer = reader.get("/api/runs", headers={"host": host, HEADER: TOKEN})
        assert answer.status_code == 421, host
    for name in ("localhost:8765", "127.0.0.1:9000"):
        assert reader.get("/", headers={"host": name, HEADER: TOKEN}).status_code == 200
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
        headers = {"origin": origin, HEADER: TOKEN}
        assert reader.post("/api/stop/done", headers=headers).status_code == 403
    headers = {"origin": HOME, HEADER: TOKEN}
    assert reader.post("/api/stop/done", headers=headers).status_code == 409


def test_pages_run_no_script_but_their_own(client: TestClient, reader: TestClient) -> None:
    policy = reader.get("/run/done").headers["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in rules["script-src"]
    assert rules["frame-ancestors"] == "'none'"
    assert reader.get("/nothing").headers["content-security-policy"] == policy


# ---------------------------------------------------------------------- names


def test_names_that_lead_out(reader: TestClient, root: Path) -> None:
    names = (
        "%2e%2e/private", "..%2fprivate", "sweep/%2e%2e/%2e%2e/private", "%2e%2e%2fprivate",
        "%252e%252e/private", f"/{root.parent}/private", "done/", "/done", "done%00",
        "..%5cprivate", "", "sweep//one", "notes", "missing", "x" * 900, "x" * 5000,
    )  # fmt: skip
    for name in names:
        for path in ("/run/", "/api/run/"):
            assert reader.get(HOME + path + name).status_code == 404, name[:30]
        for path in ("/api/stop/", "/api/resume/"):
            answer = reader.post(HOME + path + name, headers={HEADER: TOKEN})
            assert answer.status_code == 404, name[:30]


def test_names_are_refused_before_the_disk_is_asked(root: Path) -> None:
    for name in ("../private", "sweep/../done", "/etc", "..", "", "sweep/./one", str(root)):
        with pytest.raises(OutsideError, match="no name of a run"):
            run_at(root, name)


def test_links_out_of_the_folder(reader: TestClient, root: Path) -> None:
    (root / "link").symlink_to(root.parent / "private")
    assert reader.get("/run/link").status_code == 404
    assert run_names(root) == ["done", "sweep/one"]
    for file in ("metrics.jsonl", "resume.log", "pixel.png"):
        path = root / "done" / file
        before = path.read_bytes() if path.exists() else None
        path.unlink(missing_ok=True)
        path.symlink_to(root.parent / "private" / "config.yaml")
        assert f"{file} of 'done' leads out" in reader.get("/run/done").json()["error"]
        path.unlink()
        if before is not None:
            path.write_bytes(before)
    (root / "inner").symlink_to(root / "done")
    assert reader.get("/run/inner").status_code == 200, "a link that stays inside"


def test_a_folder_that_is_itself_a_run(root: Path) -> None:
    assert [seen.name for seen in Watch(root / "done").runs()] == ["."]


# ---------------------------------------------------------------------- stop and resume


def test_stop_is_one_signal(reader: TestClient, root: Path, process: subprocess.Popen[str]) -> None:
    held(root / "sweep" / "one", process.pid, born(process.pid))
    ask = {HEADER: TOKEN}
    first = reader.post("/api/stop/sweep/one", headers=ask)
    assert (first.status_code, first.json()["state"]) == (200, "stopping")
    second = reader.post("/api/stop/sweep/one", headers=ask)
    assert second.status_code == 409
    assert "would lose" in second.json()["error"]
    assert reader.post("/api/resume/sweep/one", headers=ask).status_code == 409
    assert signals(process) == 1


def test_a_number_given_to_another_process_is_not_signalled(
    root: Path, process: subprocess.Popen[str]
) -> None:
    folder = root / "sweep" / "one"
    for moment, host in (("another time", None), ("", None), (born(process.pid), "elsewhere")):
        held(folder, process.pid, moment, host)
        holder = Holder.read(folder)
        assert holder is not None
        with pytest.raises(NotRunningError):
            holder.interrupt()
    for pid in (0, -1, 2**40):
        with pytest.raises(NotRunningError):
            Holder(pid, os.uname().nodename, "x", "now").interrupt()
    assert signals(process) == 0


def test_resume_starts_the_command(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = "import sys; print(sys.argv[1:]); sys.exit(2)"
    monkeypatch.setattr("gflow.serve.control.COMMAND", [sys.executable, "-c", said])
    watch, control = Watch(root), Control()
    seen = watch.run("sweep/one")
    control.resume(seen, 900)
    deadline = time.monotonic() + 60
    while not control.failure(seen):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    folder = root.resolve() / "sweep" / "one"
    assert control.failure(seen) == f"['resume', '{folder}', '--steps', '900']"


@pytest.mark.parametrize("body", ['{"steps": 100}', '{"steps": "9"}', "[]", "{", '{"steps": true}'])
def test_steps_that_are_none(reader: TestClient, body: str) -> None:
    answer = reader.post("/api/resume/done", headers={HEADER: TOKEN}, content=body)
    assert answer.status_code in (400, 409)
    assert "step" in answer.json()["error"]


# ---------------------------------------------------------------------- the command


def test_other_hosts_and_ports_are_refused(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", str(root), "--host", "0.0.0.0"]) == 2
    assert "ssh -L 8765" in capsys.readouterr().err
    assert main(["serve", str(tmp_path / "nothing")]) == 2
    assert "There is no folder" in capsys.readouterr().err
    assert main(["serve", str(root), "--port", "70000"]) == 2
    assert "--port N" in capsys.readouterr().err


def test_the_extra_that_is_missing(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve", str(root)]) == 2
    assert "the extra 'web'" in capsys.readouterr().err
