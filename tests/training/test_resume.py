"""Nothing is lost: a run goes on from its checkpoint as if nothing had happened, and from nothing else."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import tiedlm.training.run
from tests.conftest import NoteFault, toy_experiment, train_arm
from tests.training.test_run import FP32, outcome, run_toy, tokenized
from tiedlm.atomic_file import replacement
from tiedlm.config.experiment import Experiment
from tiedlm.config.interventions import NEUTRAL
from tiedlm.config.older_schemas import MOVED_IN_6
from tiedlm.config.saved_model_config import METADATA_KEY
from tiedlm.errors import InputError
from tiedlm.execution.job import Job
from tiedlm.execution.listener import Listener
from tiedlm.execution.local.scheduler import LocalProcesses
from tiedlm.execution.one_run import Notice
from tiedlm.model.masked_lm import MaskedLM, TieError
from tiedlm.model.saved_model import write_tensors
from tiedlm.processes.start_method import start_server
from tiedlm.record.run_id import RunId
from tiedlm.record.run_record import RunRecord
from tiedlm.training.checkpoint import DIGEST_KEY, CheckpointFiles, RunKey, _digest, load_checkpoint, remove_if_empty
from tiedlm.training.progress import Progress
from tiedlm.training.provenance import present_code
from tiedlm.training.resume import CheckpointPolicy, Interrupted, run_key

NUM_STEPS = 12
EXPERIMENT = toy_experiment(
    **{
        "model.hidden_dropout_prob": 0.1,
        "model.attention_probs_dropout_prob": 0.1,
        "train.num_steps": NUM_STEPS,
        "train.num_evaluations": 3,
        "train.batch_size": 50,  # so that epochs end in the middle of batches
    }
)
ADAM_ALONE = EXPERIMENT.model_copy(
    update={"train": EXPERIMENT.train.model_copy(update={"muon_learning_rate": 0.0}), "name": "adam"}
)


def stop_after(num_steps: int) -> Callable[[], bool]:
    """A `should_stop` that says so after some steps."""
    steps = count(1)
    return lambda: next(steps) == num_steps


def run_with(
    policy: CheckpointPolicy, folder: Path, out: Path, arm: str = "tied", experiment: Experiment = EXPERIMENT
) -> RunRecord:
    """One run of the toy experiment under these rules."""
    out.mkdir(exist_ok=True)
    corpus = tokenized(experiment, folder)
    return train_arm(experiment, arm, 0, corpus, FP32, out, "tiedlm train", lambda _: None, policy)


def interrupt(folder: Path, out: Path, num_steps: int, arm: str = "tied", experiment: Experiment = EXPERIMENT) -> None:
    """Begin or go on, for some steps."""
    with pytest.raises(Interrupted):
        run_with(CheckpointPolicy(should_stop=stop_after(num_steps)), folder, out, arm, experiment)


@pytest.mark.parametrize("arm", ["tied", "untied"])
@pytest.mark.parametrize("experiment", [EXPERIMENT, ADAM_ALONE], ids=["muon", "adam"])
def test_a_run_stopped_again_and_again_is_equal_bit_for_bit(
    experiment: Experiment, arm: str, corpus_folder: Path, tmp_path: Path
) -> None:
    whole = run_toy(experiment, corpus_folder, tmp_path / "whole", arm)
    out = tmp_path / "stopped"
    for num_steps in (1, 3, 4, 3):  # after steps 1, 4 (with a point of the curve), 8 (another) and 11
        interrupt(corpus_folder, out, num_steps, arm, experiment)
        torch.rand(7)  # whoever draws in between
    stopped = run_with(CheckpointPolicy(), corpus_folder, out, arm, experiment)
    assert outcome(stopped) == outcome(whole)
    name = f"{arm}-seed0.safetensors"
    assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert sorted(path.name for path in out.rglob("*.*")) == [f"{arm}-seed0.json", name]  # no checkpoint is left
    assert stopped.cost.train_seconds > 0


def test_a_run_goes_on_with_as_many_threads_as_it_began_with(corpus_folder: Path, tmp_path: Path) -> None:
    torch.set_num_threads(2)
    try:
        interrupt(corpus_folder, tmp_path, 1)
        torch.set_num_threads(1)
        assert run_with(CheckpointPolicy(), corpus_folder, tmp_path).provenance.num_threads == 2
    finally:
        torch.set_num_threads(1)


def test_the_cost_is_that_of_all_processes(
    corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tiedlm.training.resume.peak_memory_bytes", lambda _: 1 << 40)
    now = [1_000.0]
    monkeypatch.setattr("tiedlm.training.resume.time.monotonic", lambda: now[0])
    stop = stop_after(NUM_STEPS - 1)

    def tick() -> bool:
        now[0] += 10.0
        return stop()

    with pytest.raises(Interrupted):
        run_with(CheckpointPolicy(should_stop=tick), corpus_folder, tmp_path)
    monkeypatch.setattr("tiedlm.training.resume.peak_memory_bytes", lambda _: 1 << 20)
    now[0] += 5_000.0  # nobody works on it
    cost = run_with(CheckpointPolicy(should_stop=lambda: tick() and False), corpus_folder, tmp_path).cost
    assert cost.total_seconds == 10.0 * NUM_STEPS
    assert cost.peak_memory_bytes == 1 << 40


@pytest.mark.parametrize(("later", "is_mixed"), [("one", False), ("two", True)])
def test_a_record_says_whether_it_is_of_one_code(
    later: str, is_mixed: bool, corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []

    def check_out(commit: str) -> None:
        code = present_code().model_copy(update={"git_commit": commit, "git_dirty": False})
        monkeypatch.setattr("tiedlm.training.resume.present_code", lambda: code)

    check_out("one")
    interrupt(corpus_folder, tmp_path, 2)
    check_out(later)
    policy = CheckpointPolicy(should_stop=stop_after(3), warn=warnings.append)
    with pytest.raises(Interrupted):
        run_with(policy, corpus_folder, tmp_path)
    provenance = run_with(CheckpointPolicy(), corpus_folder, tmp_path).provenance  # once mixed, it stays so
    assert (provenance.git_commit, provenance.git_dirty) == (later, is_mixed)
    assert [("step 2 of other code (git_commit one then, two now)" in words) for words in warnings] == [is_mixed]
    assert warnings[0].startswith("goes on from step 2")  # once


def test_the_commit_is_that_at_the_start(corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began = present_code()

    def commit_meanwhile(_: Progress) -> None:
        monkeypatch.setattr("tiedlm.training.provenance._git", lambda *_: "f" * 40)

    record = run_toy(EXPERIMENT, corpus_folder, tmp_path, on_progress=commit_meanwhile)
    assert record.provenance.git_commit == began.git_commit


def test_no_checkpoint_is_written_of_a_lost_tie(
    corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor a record; those written before stay."""
    model: list[MaskedLM] = []
    build = tiedlm.training.run.build_model

    def untie(progress: Progress) -> None:
        if progress.step == 3:
            model[0].head.decoder.weight = torch.nn.Parameter(model[0].head.decoder.weight.detach().clone())

    monkeypatch.setattr(tiedlm.training.run, "build_model", lambda *given: model.append(build(*given)) or model[0])
    corpus, policy = tokenized(EXPERIMENT, corpus_folder), CheckpointPolicy(checkpoint_seconds=0.0)
    with pytest.raises(TieError, match="at the checkpoint of step 3"):
        train_arm(EXPERIMENT, "tied", 0, corpus, FP32, tmp_path, "tiedlm train", untie, policy)
    assert load_checkpoint(CheckpointFiles(tmp_path, RunId("tied", 0)).newest)[0].step == 2
    assert not list(tmp_path.glob("*.json"))


def test_a_run_stopped_at_its_last_step_is_only_evaluated(corpus_folder: Path, tmp_path: Path) -> None:
    interrupt(corpus_folder, tmp_path, NUM_STEPS)
    header, _ = load_checkpoint(CheckpointFiles(tmp_path, RunId("tied", 0)).newest)
    assert header.step == NUM_STEPS
    never = CheckpointPolicy(should_stop=lambda: pytest.fail("a step was made"))
    assert outcome(run_with(never, corpus_folder, tmp_path)) == outcome(
        run_toy(EXPERIMENT, corpus_folder, tmp_path / "whole")
    )


def test_a_run_killed_while_it_is_evaluated_is_trained(
    corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr("tiedlm.training.monitor.Monitor.measure", die)
    with pytest.raises(SystemExit):
        run_with(CheckpointPolicy(), corpus_folder, tmp_path)
    assert load_checkpoint(CheckpointFiles(tmp_path, RunId("tied", 0)).newest)[0].step == NUM_STEPS


def test_no_resume_begins_again(corpus_folder: Path, tmp_path: Path) -> None:
    interrupt(corpus_folder, tmp_path, 4)
    with pytest.raises(Interrupted):
        run_with(CheckpointPolicy(resume=False, should_stop=stop_after(2)), corpus_folder, tmp_path)
    assert load_checkpoint(CheckpointFiles(tmp_path, RunId("tied", 0)).newest)[0].step == 2


def flip_a_bit(path: Path) -> None:
    """In the middle of the tensors."""
    content = bytearray(path.read_bytes())
    content[-len(content) // 3] ^= 1
    path.write_bytes(content)


def flip_a_bit_of_the_curve(path: Path) -> None:
    """In the words about the tensors: still valid JSON."""
    content = path.read_bytes()
    path.write_bytes(content.replace(b'train_seconds\\":0.', b'train_seconds\\":1.', 1))
    assert path.read_bytes() != content


def truncate(path: Path) -> None:
    """As a full disk would."""
    path.write_bytes(path.read_bytes()[:-100])


def exchange_two_tensors(path: Path) -> None:
    """Of one shape, with the metadata kept: only the digest can tell."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    first, second = "model.encoder.layers.0.attention_norm.weight", "model.encoder.layers.1.attention_norm.weight"
    names = [name for name in tensors if name.startswith("model.") and tensors[name].shape == (32,)]
    first, second = names[0], names[-1]
    tensors[first], tensors[second] = tensors[second] + 1, tensors[first]
    save_file(tensors, path, metadata=metadata)


def put_a_foreign_file(path: Path) -> None:
    """A model of somebody else."""
    save_file({"weight": torch.zeros(3)}, path, metadata={"format": "pt"})


def empty(path: Path) -> None:
    """As after a crash of the machine without a sync."""
    path.write_bytes(b"")


DAMAGES = [flip_a_bit, flip_a_bit_of_the_curve, truncate, exchange_two_tensors, put_a_foreign_file, empty]


@pytest.mark.parametrize("damage", DAMAGES)
def test_of_a_damaged_checkpoint_the_one_before_is_used(
    damage: Callable[[Path], None], corpus_folder: Path, tmp_path: Path, note_fault: NoteFault
) -> None:
    whole = run_toy(EXPERIMENT, corpus_folder, tmp_path / "whole")
    interrupt(corpus_folder, tmp_path, 3)
    interrupt(corpus_folder, tmp_path, 4)
    files = CheckpointFiles(tmp_path, RunId("tied", 0))
    damage(files.newest)
    warnings: list[str] = []
    steps = count()
    policy = CheckpointPolicy(warn=warnings.append, should_stop=lambda: next(steps) < 0)
    record = run_with(policy, corpus_folder, tmp_path)
    num_steps_made = next(steps)
    name = f"checkpoint: {damage.__name__.replace('_', ' ')}"
    note_fault(name, num_steps_made - (NUM_STEPS - 7), outcome(record) != outcome(whole))
    assert outcome(record) == outcome(whole)
    assert num_steps_made == NUM_STEPS - 3  # it went on after step 3
    assert str(files.newest) in warnings[0]
    assert "it is not used" in warnings[0]
    assert warnings[1:] == ["goes on from step 3"]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("optimizer.head.decoder.bias.exp_avg", lambda _: torch.tensor(1.0)),  # the library would write beyond it
        ("optimizer.head.decoder.bias.step", lambda tensor: tensor.long()),
        ("optimizer.head.decoder.bias.exp_avg_sq", None),
        ("model.head.decoder.bias", lambda tensor: tensor[:-1]),
        ("model.head.decoder.bias", lambda tensor: tensor.to(torch.complex64)),
        ("order.rows_to_come", lambda tensor: tensor.unsqueeze(0)),
        ("order.rows_to_come", lambda tensor: tensor + 10**6),
        ("mask.generator", lambda tensor: torch.zeros_like(tensor)),
        ("more", lambda _: torch.zeros(3)),
    ],
)
def test_a_forged_checkpoint_is_not_used(
    name: str, change: Callable[[torch.Tensor], torch.Tensor] | None, corpus_folder: Path, tmp_path: Path
) -> None:
    """Its sha256 is right: it was written with care, by somebody else."""
    whole = run_toy(EXPERIMENT, corpus_folder, tmp_path / "whole")
    interrupt(corpus_folder, tmp_path, 3)
    files, forged = CheckpointFiles(tmp_path, RunId("tied", 0)), CheckpointFiles(tmp_path / "forged", RunId("tied", 0))
    header, tensors = load_checkpoint(files.newest)
    (tmp_path / "forged").mkdir()
    if change is None:
        del tensors[name]
    else:
        tensors[name] = change(tensors.get(name, torch.zeros(1))).contiguous()
    forged.save(header, tensors)
    forged.newest.replace(files.newest)
    warnings: list[str] = []
    assert outcome(run_with(CheckpointPolicy(warn=warnings.append), corpus_folder, tmp_path)) == outcome(whole)
    assert len(warnings) == 1
    assert "does not fit this" in warnings[0]


def test_with_both_damaged_the_run_begins_again(corpus_folder: Path, tmp_path: Path) -> None:
    whole = run_toy(EXPERIMENT, corpus_folder, tmp_path / "whole")
    interrupt(corpus_folder, tmp_path, 3)
    interrupt(corpus_folder, tmp_path, 4)
    files = CheckpointFiles(tmp_path, RunId("tied", 0))
    truncate(files.newest)
    put_a_foreign_file(files.previous)
    warnings: list[str] = []
    assert outcome(run_with(CheckpointPolicy(warn=warnings.append), corpus_folder, tmp_path)) == outcome(whole)
    assert len(warnings) == 2


def test_a_run_that_ends_leaves_the_checkpoints_of_others_alone(corpus_folder: Path, tmp_path: Path) -> None:
    """They share a folder, and one may be writing at that moment."""
    interrupt(corpus_folder, tmp_path, 3, "tied")
    untied = CheckpointFiles(tmp_path, RunId("untied", 0)).newest
    with replacement(untied) as partial:
        run_with(CheckpointPolicy(), corpus_folder, tmp_path, "tied")
        assert partial.exists()
    assert untied.exists()
    assert [path.name for path in untied.parent.iterdir()] == [untied.name]


def test_the_folder_of_checkpoints_is_made_again_by_whoever_writes_and_removed_by_the_last(
    corpus_folder: Path, tmp_path: Path
) -> None:
    """Another command may remove it, empty, at any moment."""
    interrupt(corpus_folder, tmp_path, 2)
    files = CheckpointFiles(tmp_path, RunId("tied", 0))
    header, tensors = load_checkpoint(files.newest)
    others_end = threading.Event()

    def remove_it() -> None:
        while not others_end.is_set():
            remove_if_empty(files.newest.parent)

    other = threading.Thread(target=remove_it)
    other.start()
    try:
        for _ in range(100):
            files.save(header, tensors)
            assert load_checkpoint(files.newest)[0] == header
            files.delete()
    finally:
        others_end.set()
        other.join()
    assert not files.newest.parent.exists()


def tell_much_when_stopped(job: Job, sender: Connection) -> None:
    """A worker whose news fill the pipe many times over."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    sender.send(Progress(job.run, "training", 1, 2, 64, 1.0, 0.01, 1.0))
    stop.wait()
    for number in range(5_000):
        sender.send(Notice(f"news {number}"))
    sender.close()


@pytest.mark.slow
def test_a_stop_hears_out_the_workers(corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose pipe is full waits for a reader, and would never save and end."""

    notices: list[str] = []

    class InterruptAtOnce(Listener):
        def update(self, progress: Progress) -> None:
            raise KeyboardInterrupt(progress)

        def notice(self, sentence: str) -> None:
            notices.append(sentence)

    monkeypatch.setattr("tiedlm.execution.local.scheduler.work", tell_much_when_stopped)
    corpus = tokenized(EXPERIMENT, corpus_folder)
    job = Job(
        EXPERIMENT.name,
        RunId("tied", 0),
        EXPERIMENT.arm_config("tied"),
        corpus,
        FP32,
        tmp_path,
        "tiedlm compare",
        1,
        True,
        60.0,
    )
    start_server()
    with pytest.raises(KeyboardInterrupt):
        LocalProcesses(1).run([job], InterruptAtOnce())
    assert notices[1:-1] == [f"tied seed 0: news {number}" for number in range(5_000)]
    assert notices[-1] == "tied seed 0 stands at step 1 of 2; the same command goes on from there"


def test_a_checkpoint_of_the_format_before_is_gone_on_from(corpus_folder: Path, tmp_path: Path) -> None:
    """It called the key a run, and had interventions among the keys of the model and of the recipe."""
    whole = run_toy(EXPERIMENT, corpus_folder, tmp_path / "whole")
    out = tmp_path / "older"
    out.mkdir()
    interrupt(corpus_folder, out, 2)
    files = CheckpointFiles(out, RunId("tied", 0))
    header, tensors = load_checkpoint(files.newest)
    document = json.loads(header.model_dump_json())
    document |= {"checkpoint_format": 4, "run": document.pop("key")}
    for section, keys in MOVED_IN_6.items():
        document["run"]["config"][section] |= {key: NEUTRAL[key] for key in keys}
    text = json.dumps(document)
    write_tensors(tensors, files.newest, {METADATA_KEY: text, DIGEST_KEY: _digest(text, tensors)})
    files.previous.unlink(missing_ok=True)
    steps: list[int] = []
    record = train_arm(
        EXPERIMENT,
        "tied",
        0,
        tokenized(EXPERIMENT, corpus_folder),
        FP32,
        out,
        "tiedlm train",
        lambda progress: steps.append(progress.step),
    )
    assert min(steps) == 3
    assert outcome(record) == outcome(whole)


def test_a_checkpoint_of_another_run_is_refused(corpus_folder: Path, tmp_path: Path) -> None:
    interrupt(corpus_folder, tmp_path, 2)
    corpus, run = tokenized(EXPERIMENT, corpus_folder), RunId("tied", 0)
    files = CheckpointFiles(tmp_path, run)

    def key_of(experiment: Experiment) -> RunKey:
        return run_key(experiment.name, run, experiment.run_config("tied"), corpus, FP32)

    files.check(key_of(EXPERIMENT))
    hotter = EXPERIMENT.model_copy(update={"train": EXPERIMENT.train.model_copy(update={"learning_rate": 0.5})})
    with pytest.raises(InputError, match=r"config\.train\.learning_rate=0\.01, now it is 0\.5; .* --no-resume"):
        files.check(key_of(hotter))
    # swapped on disk: the untied run's file under the tied run's name
    interrupt(corpus_folder, tmp_path, 2, "untied")
    CheckpointFiles(tmp_path, RunId("untied", 0)).newest.replace(files.newest)
    with pytest.raises(InputError, match="arm='untied', now it is 'tied'"):
        files.check(key_of(EXPERIMENT))


def test_a_checkpoint_that_cannot_be_written_stops_nothing(
    corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(corpus_folder, tmp_path, 3)
    files = CheckpointFiles(tmp_path, RunId("tied", 0))
    kept = files.newest.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    warnings: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr("tiedlm.model.saved_model.save_file", full)
        with pytest.raises(Interrupted):
            run_with(
                CheckpointPolicy(checkpoint_seconds=0.0, should_stop=stop_after(2), warn=warnings.append),
                corpus_folder,
                tmp_path,
            )
    assert warnings[0] == "goes on from step 3"
    assert len(warnings) == 3
    assert "No space left on device" in warnings[1]
    assert files.newest.read_bytes() == kept
    assert [path.name for path in files.newest.parent.iterdir()] == [files.newest.name]  # and nothing half-written
