"""The worker's side of `benchmarks/_peer.py`. Standard library only."""

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks._peer import peak_mb

Command = Callable[..., dict[str, Any]]


def serve(build: Callable[[dict[str, Any]], Mapping[str, Command]]) -> None:
    """Reads the configuration, builds the commands, answers line for line until the input ends.

    **Arguments:**

    - `build`: makes the named commands from the configuration. A command takes the message's other
        fields by keyword and returns a dictionary. What `build` and libraries print goes to
        standard error.

    Every answer has `peak_mb`. An exception becomes `{"error": traceback}`, and the worker goes on.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever prints must not break the protocol

    def answer(line: str, make: Command) -> bool:
        try:
            message = make(**json.loads(line))
            message.setdefault("peak_mb", peak_mb())
        except Exception:
            message = {"error": traceback.format_exc()}
        answers.write(json.dumps(message) + "\n")
        return "error" not in message

    commands: dict[str, Command] = {}

    def start(**config: Any) -> dict[str, Any]:
        commands.update(build(config))
        return {"commands": sorted(commands)}

    def call(command: str, **fields: Any) -> dict[str, Any]:
        if command not in commands:
            raise ValueError(f"The commands are {sorted(commands)}; got {command!r}.")
        return commands[command](**fields)

    line = sys.stdin.readline()
    if line and answer(line, start):
        for line in sys.stdin:
            answer(line, call)
