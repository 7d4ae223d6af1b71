"""One run, wherever it is made: a job → messages on its way, a record at its end, or the sentence why there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tiedlm.errors import is_lack_of_memory
from tiedlm.execution.job import Job
from tiedlm.model.masked_lm import TieError
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


Message = Progress | CurvePoint | Notice | Failure


def make_run(job: Job, tell: Callable[[Message], None], shall_stop: Callable[[], bool]) -> None:
    """Make a run in this process, and tell how it goes; where it shall stop, it saves after the step under way."""
    policy = CheckpointPolicy(job.resume, job.checkpoint_seconds, shall_stop, lambda sentence: tell(Notice(sentence)))
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
