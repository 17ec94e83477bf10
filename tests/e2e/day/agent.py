"""A coding agent: marks what it starts, gives each command a session, asks over MCP for a role."""

import json
import os
import subprocess
import sys
from typing import Any

ENV = os.environ | {"CLAUDECODE": "1"}


def command(*words: str) -> None:
    done = subprocess.run(
        words, env=ENV, start_new_session=True, stdin=subprocess.DEVNULL, check=False, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    print(f"agent: {' '.join(words[:3])}: {done.returncode}\n{done.stdout}", flush=True)
    if done.returncode:
        sys.exit(done.returncode)


def call(server: "subprocess.Popen[str]", method: str, **params: Any) -> dict[str, Any]:
    assert server.stdin is not None
    assert server.stdout is not None
    line = {"jsonrpc": "2.0", "id": method, "method": method, "params": params}
    server.stdin.write(json.dumps(line) + "\n")
    server.stdin.flush()
    while True:
        answer: dict[str, Any] = json.loads(server.stdout.readline())
        if answer.get("id") == method:
            return answer


command("borrow", "run", "work", "--", "python", "sizes.py")
with subprocess.Popen(
    ["borrow", "mcp"], env=ENV, start_new_session=True, text=True,
    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
) as server:  # fmt: skip
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}}
    call(server, "initialize", **hello, clientInfo={"name": "agent"})
    wish = {"role": "agent-fix", "reason": "remove the stale marker", "wait_seconds": 120}
    told = call(server, "tools/call", name="request_role", arguments=wish)
    print(f"agent: {told['result']['content'][0]['text']}", flush=True)
    command("borrow", "run", "agent-fix", "--", "aws", "s3", "rm", "s3://work/marker")
    call(server, "tools/call", name="return_role", arguments={"role": "agent-fix"})
    assert server.stdin is not None
    server.stdin.close()
