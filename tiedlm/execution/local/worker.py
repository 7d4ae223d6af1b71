"""One run in a process of its own: what it is given, what it tells, and how it ends."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection

from tiedlm.errors import is_lack_of_memory
from tiedlm.execution.job import Job
from tiedlm.model.masked_lm import TieError
from tiedlm.processes.start_method import SIGNALS_OF_THE_PARENT, die_with_parent
from tiedlm.record.curve_point import CurvePoint
from tiedlm.record.divergence import Divergence, save_divergence
from tiedlm.training.checkpoint import CheckpointFiles
from tiedlm.training.loop import Diverged, RunFailed
from tiedlm.training.progress import Progress
from tiedlm.training.provenance import present_code, provenance
from tiedlm.training.resume import CheckpointPolicy, Interrupted, run_key
from tiedlm.training.run import train_run


@dataclass(frozen=True)
class Notice:
    """Something that a run has to say on its way."""

    sentence: str


@dataclass(frozen=True)
class Failure:
    """Why a run has ended without a record."""

    sentence: str


def work(job: Job, sender: Connection) -> None:
    """The body of a worker process: progress, points, notices and a failure's sentence go through the pipe."""
    import torch

    for number in SIGNALS_OF_THE_PARENT:  # it decides what an interrupt means
        signal.signal(number, signal.SIG_IGN)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threading.Thread(target=die_with_parent, daemon=True).start()
    torch.set_num_threads(job.num_threads)

    def tell(message: Progress | CurvePoint | Notice | Failure) -> None:
        if isinstance(message, Progress) and message.phase != "training":
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # all that was learned is in the checkpoint
        try:
            sender.send(message)
        except BrokenPipeError:
            os._exit(1)  # nobody is left to be told

    policy = CheckpointPolicy(job.resume, job.checkpoint_seconds, stop.is_set, lambda sentence: tell(Notice(sentence)))
    try:
        made_of = (job.experiment, job.run, job.arm, job.corpus, job.runtime, job.out, job.command)
        train_run(*made_of, tell, policy, tell, job.design_sha256, job.micro_batch)
    except Interrupted:
        pass  # it has saved, and the parent knows the step
    except Diverged as error:
        if job.divergence_counts:
            _keep_divergence(job, str(error))
            tell(Notice(f"{error}; it counts as a failed trial"))
        else:
            tell(Failure(str(error)))
    except (RunFailed, TieError) as error:
        tell(Failure(str(error)))
    except OSError as error:
        tell(Failure(f"{error}; once that is mended, the same command goes on from the last checkpoint"))
    except Exception as error:
        if not is_lack_of_memory(error):
            raise
        tell(Failure("memory ran out; lower train.batch_size, corpus.seq_length or the model's sizes"))
    finally:
        sender.close()


def _keep_divergence(job: Job, sentence: str) -> None:
    """Write down that a run has diverged; its checkpoints are of no use, since it would diverge again."""
    key = run_key(job.experiment, job.run, job.arm.config, job.corpus, job.runtime)
    divergence = Divergence(
        schema_version=1,
        experiment=job.experiment,
        arm=job.run.arm,
        seed=job.run.seed,
        config=job.arm.config,
        data=key.data,
        sentence=sentence,
        design_sha256=job.design_sha256,
        provenance=provenance(job.command, job.runtime, present_code()),
    )
    save_divergence(divergence, job.out)
    CheckpointFiles(job.out, job.run).delete()
