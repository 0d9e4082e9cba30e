"""`ostraka run local` and `ostraka doctor`: what this machine computes by itself."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ostraka.cli.devnet import cache_folder
from ostraka.cli.infer import ImageOption, TextOption, lines_of, read_inputs
from ostraka.cli.messages import MessageOption, MessagesOption, read_prompt
from ostraka.cli.options import SeedOption, TemperatureOption, TopKOption, TopPOption
from ostraka.cli.output import JsonOption, out, print_json
from ostraka.cli.progress import reporter
from ostraka.errors import UsageError
from ostraka.model import GraphManifest

if TYPE_CHECKING:
    from ostraka.store import LocalStore
    from ostraka_worker.kernels.gemm import Kernel

app = typer.Typer(help="Run a model on this machine alone.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Run a model on this machine alone."""


@app.command()
def local(
    model: Annotated[
        str,
        typer.Argument(help="A packaged model's name, a GGUF file of the Llama family, or a prepared module's name."),
    ],
    prompt: Annotated[str | None, typer.Option(help="What to ask a language model.")] = None,
    message: MessageOption = None,
    messages: MessagesOption = None,
    text: TextOption = None,
    image: ImageOption = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 64,
    temperature: TemperatureOption = 0.0,
    top_p: TopPOption = None,
    top_k: TopKOption = None,
    seed: SeedOption = None,
    digest: Annotated[bool, typer.Option(help="Print the result hash as the last line.")] = False,
    raw: Annotated[bool, typer.Option(help="Do not use the model's chat template.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="Threads that compute.")] = 1,
    kernel: Annotated[
        str | None, typer.Option(help="native, int8, fp32 or cuda; by default the start-up probe chooses.")
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Where blocks are kept.")] = None,
) -> None:
    """The whole model in this process. The last line with --digest is the hash that an honest network commits to."""
    import torch

    from ostraka.client.text import ModelText, TextStream
    from ostraka.crypto.trace import make_result
    from ostraka.wire.job_input import JobInput
    from ostraka.wire.sampling import make_sampling
    from ostraka_worker.engine.local import generate_local
    from ostraka_worker.kernels.probe import pick_kernel
    from ostraka_worker.prepare_named import prepare_named

    asked = read_prompt(prompt, message, messages)
    torch.set_num_threads(threads)
    chosen, _ = pick_kernel(kernel)
    with reporter() as report:
        manifest, store = prepare_named(
            model, cache or cache_folder(), progress=lambda d, t, w: report("Converting", d, t)
        )
    if isinstance(manifest, GraphManifest):
        _infer(manifest, store, chosen, text, image, digest)
        return
    if not asked or text or image:
        raise UsageError(f"--prompt: model {model} generates text; give it a prompt, and neither --text nor --image")
    words = ModelText.fetch(manifest, store)
    sampling = make_sampling(temperature, top_p, top_k, seed)
    job = JobInput(words.prompt(asked, chat=not raw), max_tokens, words.stop, sampling)
    job.check(manifest.arch.vocab, manifest.arch.context)
    stream = TextStream(words)

    def show(token: int) -> None:
        sys.stdout.write(stream.push(token))
        sys.stdout.flush()

    tokens, digests = generate_local(
        manifest,
        lambda i: store.path(manifest.blocks[i].cid),
        job.prompt,
        job.max_tokens,
        job.stop,
        chosen,
        show,
        sampling,
    )
    print(stream.flush())
    if not sampling.is_greedy and seed is None:
        out.print(f"drawn with --seed {sampling.seed}")
    if digest:
        print(make_result(digests, tokens, manifest.digest, job.digest).hash.hex())


def _infer(
    manifest: GraphManifest,
    store: LocalStore,
    kernel: Kernel,
    texts: list[str] | None,
    image: Path | None,
    digest: bool,
) -> None:
    from ostraka.client.reader import NetworkReader
    from ostraka.crypto.trace import result_of
    from ostraka_worker.engine import infer_local

    reader = NetworkReader.fetch(manifest, store)
    values, window = read_inputs(reader, texts, image)
    job = reader.job(values)
    outputs, digests = infer_local(manifest, lambda i: store.path(manifest.blocks[i].cid), job.inputs, kernel)
    for line in lines_of(reader.described(reader.outputs(outputs), window)):
        print(line)
    if digest:
        print(result_of(digests, outputs, manifest.digest, job.digest).hash.hex())


def doctor(as_json: JsonOption = False) -> None:
    """What this machine would compute with, and why."""
    import platform

    import torch

    from ostraka_worker import native
    from ostraka_worker.kernels.probe import pick_kernel
    from ostraka_worker.measure import survey_kernels
    from ostraka_worker.memory import free_bytes

    chosen, why = pick_kernel(None)
    kernels = survey_kernels()
    free = free_bytes()
    found = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "simd": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "kernel": chosen.name,
        "why": why,
        "twins": native.state(),
        "kernels": [dataclasses.asdict(kernel) for kernel in kernels],
        "memory_free_bytes": free,
    }
    if as_json:
        print_json(found)
        return
    print(f"python     {found['python']}, torch {found['torch']}")
    print(f"SIMD       {found['simd']}, {found['threads']} threads")
    print(f"C twins    {found['twins']}")
    print(f"memory     {free / 1e9:.1f} GB free")
    print("kernels    tried with extreme values; → is used, the first that is exact")
    for kernel in kernels:
        verdict = (
            f"refused: {kernel.refused}" if kernel.refused else f"exact, {kernel.speed / 1e9:.1f} G multiply–adds/s"
        )
        print(f"         {'→' if kernel.name == chosen.name else ' '} {kernel.name:8} {verdict}")
