"""One run in a process of its own: what it is given, what it tells, and how it ends."""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing.connection import Connection

from tiedlm.execution.job import Job
from tiedlm.execution.one_run import Message, make_run
from tiedlm.processes.start_method import SIGNALS_OF_THE_PARENT, die_with_parent
from tiedlm.training.progress import Progress


def work(job: Job, sender: Connection) -> None:
    """The body of a worker process: progress, points, notices and a failure's sentence go through the pipe."""
    import torch

    for number in SIGNALS_OF_THE_PARENT:  # it decides what an interrupt means
        signal.signal(number, signal.SIG_IGN)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threading.Thread(target=die_with_parent, daemon=True).start()
    torch.set_num_threads(job.num_threads)
    if job.runtime.device == "cuda":
        torch.cuda.set_device(job.gpu)

    def tell(message: Message) -> None:
        if isinstance(message, Progress) and message.phase != "training":
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # all that was learned is in the checkpoint
        try:
            sender.send(message)
        except BrokenPipeError:
            os._exit(1)  # nobody is left to be told

    try:
        make_run(job, tell, stop.is_set)
    finally:
        sender.close()
