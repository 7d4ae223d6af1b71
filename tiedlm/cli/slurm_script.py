"""Commands → one script for `sbatch`: an array whose tasks last long enough, stop in time, and queue themselves again.

Slurm sends SIGUSR1 to the script two minutes before a task's time is over (`--signal=B:USR1@120`); the script passes it
on, the run saves and ends with the status "again", and `scontrol requeue` puts the task back, which goes on from the
checkpoint. Runs that have their records are over at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tiedlm.cli.exit_status import AGAIN

MAX_TASKS = 1_000
"""Slurm's default for MaxArraySize is 1,001 (slurm.conf)."""
SECONDS_OF_A_START = 30.0
"""To import, read the text and write the model; of a run that is timed by a few steps."""
SLACK = 2.0
"""The time that is asked for, by the time that is expected; a task that needs more goes on in another turn."""


@dataclass(frozen=True)
class TimedLine:
    """A command, and how long it takes."""

    line: str
    seconds: float


def pack(lines: Sequence[TimedLine], task_seconds: float) -> list[list[TimedLine]]:
    """The commands in their order, each task as short as it can be that lasts so long at least.

    The last one may be shorter. Where there would be more tasks than Slurm takes, all are longer.
    """
    whole = sum(line.seconds for line in lines)
    wanted = max(task_seconds, whole / MAX_TASKS * 1.01)
    tasks: list[list[TimedLine]] = []
    for line in lines:
        if not tasks or sum(one.seconds for one in tasks[-1]) >= wanted:
            tasks.append([])
        tasks[-1].append(line)
    if len(tasks) > MAX_TASKS:
        size = math.ceil(len(lines) / MAX_TASKS)
        tasks = [list(lines[start : start + size]) for start in range(0, len(lines), size)]
    return tasks


def slurm_script(name: str, tasks: Sequence[Sequence[TimedLine]], num_threads: int, has_gpu: bool) -> str:
    """The script; a task's commands run one after another, each with so many processors."""
    longest = max(sum(line.seconds for line in task) for task in tasks)
    minutes = max(10, math.ceil(SLACK * longest / 60))
    cases = "\n".join(
        f"  {number})\n" + "".join(f"    run {line.line}\n" for line in task) + "    ;;"
        for number, task in enumerate(tasks)
    )
    return SCRIPT.format(
        name=name,
        last=len(tasks) - 1,
        threads=num_threads,
        minutes=minutes,
        gpu="#SBATCH --gres=gpu:1\n" if has_gpu else "",
        num_runs=sum(map(len, tasks)),
        num_tasks=len(tasks),
        longest=math.ceil(longest / 60),
        again=AGAIN,
        cases=cases,
    )


SCRIPT = """#!/bin/bash
#SBATCH --job-name=tiedlm-{name}
#SBATCH --array=0-{last}
#SBATCH --cpus-per-task={threads}
{gpu}#SBATCH --time={minutes}
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@120
# {num_runs} runs in {num_tasks} tasks, the longest about {longest} min.
# Give it to sbatch in the folder that it was made in.

stopping=0
failed=0
child=

stop() {{
  stopping=1
  if [ -n "$child" ]; then kill -USR1 "$child" 2>/dev/null; fi
}}
trap stop USR1 TERM

again() {{
  scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
  exit {again}
}}

run() {{
  if [ "$stopping" = 1 ]; then again; fi
  "$@" &
  child=$!
  wait "$child"
  status=$?
  while kill -0 "$child" 2>/dev/null; do  # the signal has ended the wait, and the run still saves
    wait "$child"
    status=$?
  done
  child=
  if [ "$status" = {again} ] || {{ [ "$stopping" = 1 ] && [ "$status" != 0 ]; }}; then again; fi
  if [ "$status" != 0 ]; then failed=1; fi
}}

case "$SLURM_ARRAY_TASK_ID" in
{cases}
esac
exit "$failed"
"""
