"""`ostraka job …`: submitting and watching jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ostraka.cli.infer import ImageOption, TextOption, lines_of, submit_inference
from ostraka.cli.messages import MessageOption, MessagesOption, read_prompt
from ostraka.cli.options import SeedOption, TemperatureOption, TopKOption, TopPOption
from ostraka.cli.output import JsonOption, ProfileOption, ostr, out, print_json
from ostraka.errors import UnknownJob, UsageError
from ostraka.model import GraphManifest
from ostraka.telemetry import trace_id

if TYPE_CHECKING:
    from ostraka.client import Answer, Inference

app = typer.Typer(help="Submit jobs and see what became of them.", no_args_is_help=True)


@app.command()
def submit(
    model: Annotated[str, typer.Argument(help="Name or id of a model on the market.")],
    prompt: Annotated[str | None, typer.Argument(help="What to ask; for a network that reads texts, the text.")] = None,
    message: MessageOption = None,
    messages: MessagesOption = None,
    text: TextOption = None,
    image: ImageOption = None,
    replicas: Annotated[int, typer.Option(min=1, max=7, help="Disjoint routes that run it.")] = 3,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 64,
    max_price: Annotated[float | None, typer.Option(help="Most that it may cost, in OSTR.")] = None,
    deadline: Annotated[float, typer.Option(help="Seconds within which replicas must commit.")] = 120.0,
    raw: Annotated[bool, typer.Option(help="Send the prompt as it is, without the model's chat template.")] = False,
    temperature: TemperatureOption = 0.0,
    top_p: TopPOption = None,
    top_k: TopKOption = None,
    seed: SeedOption = None,
    no_wait: Annotated[bool, typer.Option(help="Print the job's number and return.")] = False,
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Submit a job, stream its answer, and say how it was verified."""
    from ostraka.client import Client, load_profile

    asked = read_prompt(prompt, message, messages)
    with Client(load_profile(profile)) as client:
        if isinstance(client.manifest(client.find_model(model)), GraphManifest):
            if message or messages:
                raise UsageError(f"--message: model {model} generates no text and has no conversations")
            texts = [*([prompt] if prompt else []), *(text or [])]
            found = submit_inference(
                client, model, texts, image, replicas=replicas, max_price=max_price, deadline_s=deadline
            )
            _show_inference(found, no_wait, as_json)
            return
        if asked is None or text or image:
            raise UsageError(f"prompt: model {model} generates text; give it a prompt, and neither --text nor --image")
        answer = client.generate(
            model,
            asked,
            replicas=replicas,
            max_tokens=max_tokens,
            max_price=max_price,
            deadline_s=deadline,
            chat=not raw,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            seed=seed,
        )
        if no_wait:
            print(answer.job_id)
            return
        for piece in answer:
            if not as_json:
                print(piece, end="", flush=True)
        if as_json:
            print_json(
                {
                    "job_id": answer.job_id,
                    "text": answer.text,
                    "tokens": answer.tokens,
                    "corrected": answer.corrected,
                    "seed": answer.seed,
                    **_verdict(answer),
                }
            )
            return
        print()
        if answer.corrected:
            out.print("[yellow]The replicas outvoted what was streamed. The agreed answer is:[/yellow]")
            print(answer.text)
        out.print(f"job {answer.job_id}: {answer.verification}; cost {ostr(answer.cost)}; result {answer.result_hash}")
        if answer.seed is not None:
            out.print(f"drawn with --seed {answer.seed}")


def _show_inference(found: Inference, no_wait: bool, as_json: bool) -> None:
    if no_wait:
        print(found.job_id)
        return
    description = found.described()
    if as_json:
        print_json({"job_id": found.job_id, **description, **_verdict(found)})
        return
    for line in lines_of(description):
        print(line)
    out.print(f"job {found.job_id}: {found.verification}; cost {ostr(found.cost)}; result {found.result_hash}")


def _verdict(answer: Answer) -> dict[str, Any]:
    return {
        "result_hash": answer.result_hash,
        "cost": answer.cost,
        "verified": answer.verification.verified,
        "agreeing": answer.verification.agreeing,
        "outvoted": answer.verification.outvoted,
        "replica_hashes": answer.verification.replica_hashes,
    }


def _status(client: Any, job_id: int) -> dict[str, Any]:
    from ostraka.types import JobId, JobState

    job = client.market.job(JobId(job_id))
    if job.state is JobState.NONE:
        raise UnknownJob(f"job {job_id}: the market has no such job")
    reveals = client.market.reveals(job_id)
    return {
        "job_id": job_id,
        "state": job.state.name.lower(),
        "requester": job.requester,
        "model": job.model_id.hex(),
        "replicas": job.replicas,
        "deadline": job.deadline,
        "result_hash": job.result_hash.hex() if any(job.result_hash) else None,
        "replica_hashes": {r: seen.result_hash.hex() for r, seen in sorted(reveals.items())},
        "trace": trace_id(client.market.domain, job_id).hex(),
    }


@app.command()
def result(
    job_id: Annotated[int, typer.Argument(help="Number of the job.")],
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """What the chain says of a job."""
    from ostraka.client import Client, load_profile

    with Client(load_profile(profile)) as client:
        status = _status(client, job_id)
        if as_json:
            print_json(status)
            return
        for name, value in status.items():
            out.print(f"{name:15} {value}")


@app.command()
def watch(job_id: Annotated[int, typer.Argument(help="Number of the job.")], profile: ProfileOption = None) -> None:
    """Follow a job's events until it is closed."""
    import time

    from ostraka.client import Client, load_profile

    with Client(load_profile(profile)) as client:
        _status(client, job_id)  # an unknown job is an error, not an endless silence
        for event in client.orchestrators.events(job_id, time.monotonic() + 86_400):
            out.print(", ".join(f"{k} {v}" for k, v in event.items()))
