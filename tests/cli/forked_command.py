"""The `tiedlm` command in a process of its own, forked from one that has imported what takes seconds to import.

The environment, current folder, streams and exit status are the command's own. What only a fresh interpreter shows is
tested by one: imports and what libraries read from the environment meanwhile, signals, and how training processes come
to be (here they are forked as well).
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import multiprocessing
import os
import platform
import select
import shlex
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from tests.conftest import HANG_SECONDS
from tiedlm.processes import start_method

# Neither the console nor the libraries of the Hub, which read the environment when they are imported.
PRELOADED = (
    *("torch._dynamo", "tiedlm.training.run", "tiedlm.api.scan", "tiedlm.api.tuning", "tiedlm.api.count"),
    *("tiedlm.reporting.plots", "scipy.stats", "typer.main", "rich.progress"),
)
FOR_MODELS_OF_OTHERS = (
    "tiedlm.exchange.foreign_model",
    "tiedlm.exchange.text_evaluation",
    "tiedlm.explanation.head_view",
)
"""With `transformers`, and so the Hub's libraries: for commands on a folder, which ask the Hub nothing."""
HUB_VARIABLES = {"HF_ENDPOINT", "HF_HOME", "HF_HUB_CACHE", "HF_TOKEN"}
READ_AT_IMPORT = ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS")  # by typer, and unset for commands


def run_forked(folder: Path, arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """What `subprocess.run` would answer to the command in a folder and an environment."""
    return run_together(folder, [arguments], environment)[0]


def run_together(
    folder: Path, commands: Sequence[str], environment: dict[str, str], hosts: Sequence[str] = ()
) -> list[subprocess.CompletedProcess[str]]:
    """The same of several commands, begun at the same moment, each as if on the host of this name."""
    with tempfile.TemporaryDirectory() as place:
        streams = [[Path(place, f"{name}{number}") for name in ("out", "err")] for number in range(len(commands))]
        orders = [
            {
                "arguments": shlex.split(arguments),
                "folder": str(folder),
                "environment": environment,
                "streams": [str(path) for path in of_command],
                "host": host,
            }
            for arguments, of_command, host in zip(
                commands, streams, hosts or [platform.node()] * len(commands), strict=True
            )
        ]
        server = _server(all(map(_is_of_a_model, commands)) and not HUB_VARIABLES & environment.keys())
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(orders) + "\n")
        server.stdin.flush()
        if not select.select([server.stdout], [], [], HANG_SECONDS)[0]:
            server.kill()
            raise subprocess.TimeoutExpired(list(commands), HANG_SECONDS)
        statuses = json.loads(server.stdout.readline())
        return [
            subprocess.CompletedProcess(
                ["tiedlm", *shlex.split(arguments)], status, *(path.read_text(encoding="utf-8") for path in of_command)
            )
            for arguments, status, of_command in zip(commands, statuses, streams, strict=True)
        ]


def _is_of_a_model(arguments: str) -> bool:
    return arguments.startswith(("evaluate ", "explain ", "count-params ")) and "hub:" not in arguments


@functools.cache
def _server(of_models: bool) -> subprocess.Popen[str]:
    """The process that is forked, one of each kind for all tests of this process."""
    # With threads of OpenMP in a process, those that are forked from it would wait for them for ever.
    environment = {name: value for name, value in os.environ.items() if name not in READ_AT_IMPORT}
    environment |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}  # the Hub's library reads this when it is imported
    server = subprocess.Popen(
        [sys.executable, "-m", __name__, *(FOR_MODELS_OF_OTHERS if of_models else ())],
        cwd=Path(__file__).parents[2],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(server.communicate)
    return server


def serve() -> None:
    """Fork a process for each order of a line of stdin, and tell their exit statuses."""
    for name in (*PRELOADED, *sys.argv[1:]):
        importlib.import_module(name)
    unwanted = {"tiedlm.cli.console", "tiedlm.execution.local.scheduler"}
    assert not (unwanted if sys.argv[1:] else unwanted | {"huggingface_hub", "datasets"}) & set(sys.modules)
    gc.collect()
    gc.freeze()  # else each process looks at, and so copies, all that was imported: most of a short command's time
    for line in iter(sys.stdin.readline, ""):
        processes = [os.fork() or _become(order) for order in json.loads(line)]
        print([os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes], flush=True)


def _become(order: dict[str, Any]) -> NoReturn:
    """Be the command, and end as an interpreter does but for taking its thousands of modules down, which takes long."""
    start_method.CONTEXT = multiprocessing.get_context("fork")  # type: ignore[assignment]
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    for number, path in enumerate([os.devnull, *order["streams"]]):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.argv = ["tiedlm", *order["arguments"]]
    platform.node = lambda: order["host"]
    status = 1
    try:
        from tiedlm.cli.main import main

        main()
        status = 0
    except SystemExit as ended:
        status = int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    serve()
