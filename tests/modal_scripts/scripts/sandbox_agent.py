"""An agent's scratch machine: code it wrote is run, its files are read, its work is kept."""

import urllib.request

import modal

app = modal.App("sandbox-agent")
SERVER = "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=8080)"


def ask(credentials):
    request = urllib.request.Request(
        f"{credentials.url}/note.txt", headers={"Authorization": f"Bearer {credentials.token}"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read().decode()


@app.local_entrypoint()
def main():
    sandbox = modal.Sandbox.create(app=app, timeout=600, workdir="/tmp", tags={"for": "agent"})
    process = sandbox.exec("python", "-c", "print(sum(range(10)))")
    print("printed", process.stdout.read().strip(), process.wait())
    typed = sandbox.exec("cat")
    typed.stdin.write("typed in")
    typed.stdin.write_eof()
    typed.stdin.drain()
    print("echoed", typed.stdout.read())
    failed = sandbox.exec("python", "-c", "1 / 0")
    print("failed", failed.wait(), "ZeroDivisionError" in failed.stderr.read())

    sandbox.filesystem.write_text("remember me", "/kept/note.txt")
    print("files", [entry.name for entry in sandbox.filesystem.list_files("/kept")])
    work = sandbox.snapshot_directory("/kept")
    whole = sandbox.snapshot_filesystem()
    print("listed", sandbox.object_id in [each.object_id for each in modal.Sandbox.list()])
    sandbox.terminate()

    web = modal.Sandbox.create(
        "python", "-c", SERVER, app=app, workdir="/project", encrypted_ports=[8080],
        readiness_probe=modal.Probe.with_tcp(8080), image=whole,
    )  # fmt: skip
    web.wait_until_ready(timeout=120)
    web.mount_image("/project", work)
    other = web.exec("cat", "/project/note.txt", "/kept/note.txt")
    print("kept", other.stdout.read())
    print("tunnel", web.tunnels()[8080].port > 0)
    web.terminate()
    try:
        web.wait()
    except modal.exception.SandboxTerminatedError:
        print("ended", web.returncode)

    fresh = modal.Sandbox.create(app=app)
    fresh.mount_image("/site", work)
    fresh.exec("python", "-c", SERVER, workdir="/site")
    while fresh.exec(
        "python", "-c", "import socket; socket.create_connection(('localhost', 8080))"
    ).wait():
        pass
    print("asked", ask(fresh.create_connect_token(user_metadata={"user": "agent"})))
    fresh.terminate()
