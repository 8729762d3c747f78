"""vLLM's processes as forks of one that has imported vLLM already, so that a restart is quick.

Spawned, as vLLM has it on a CPU, the core and then its worker each import vLLM anew: most of a
start. Here both come from Python's fork server, a process that imports the modules, runs one thread
and does nothing else, so a fork of it copies no lock, no socket and no OpenMP pool of anyone's.

Only for one worker on a CPU. Each worker's OpenMP library reads its CPUs from the environment when
it is loaded: several workers need several environments, and so a new interpreter each. On GPUs
nothing of this has been tried, and vLLM's processes are spawned.
"""

from __future__ import annotations

import inspect
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import BaseContext
from typing import Any

from vllm import AsyncEngineArgs
from vllm.config import VllmConfig
from vllm.platforms import current_platform
from vllm.usage.usage_lib import UsageContext
from vllm.utils import system_utils
from vllm.utils.ompmultiprocessing import OMPProcessManager
from vllm.v1.engine import utils as engine_utils
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.core import EngineCoreProc
from vllm.v1.executor import multiproc_executor
from vllm.v1.executor.multiproc_executor import WorkerProc
from vllm.v1.sample import sampler

from serve.engine.vllm import packed_kernel
from serve.environment import variables_set

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_run_engine_core = EngineCoreProc.run_engine_core
_run_worker = WorkerProc.worker_main


@contextmanager
def deaf_to_signals() -> Iterator[None]:
    """Processes started within never see a SIGINT or SIGTERM, which stay blocked in them.

    Ctrl-C in a terminal and a service's stop reach the whole group; the server drains, and what it
    drains must not end at once. vLLM's processes install handlers of their own, so ignored signals
    would not stay ignored; a blocked one does. They are ended by SIGKILL.
    """
    resource_tracker.ensure_running()  # its start would unblock them again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def launch(arguments: AsyncEngineArgs) -> AsyncLLM:
    """Start vLLM's processes. Blocks until the model is loaded; raises what vLLM raises."""
    # Where a size of a step is left to vLLM, a server's default: without it, that of no use at all.
    config = arguments.create_engine_config(UsageContext.OPENAI_API_SERVER)
    with deaf_to_signals():
        choose_start_method(config)
        return AsyncLLM.from_vllm_config(config)


def choose_start_method(config: VllmConfig) -> None:
    """Have vLLM's next processes forked where that is safe, else spawned; see the docstring above.

    Blocks while a fork server is started for the first time, not while it imports.
    """
    if not current_platform.is_cpu() or config.parallel_config.world_size != 1:
        EngineCoreProc.run_engine_core = staticmethod(run_core)
        engine_utils.get_mp_context = system_utils.get_mp_context
        return
    multiprocessing.get_context("forkserver").set_forkserver_preload(["serve.engine.vllm.preload"])
    omp = OMPProcessManager(config).configure_omp_envs(rank=0, local_rank=0)
    # A thread of numpy's would be one too many to fork; vLLM's arithmetic is torch's.
    with omp, variables_set({"OPENBLAS_NUM_THREADS": "1"}):
        forkserver.ensure_running()
    EngineCoreProc.run_engine_core = staticmethod(run_engine_core)
    engine_utils.get_mp_context = _forking


def run_core(*args: Any, **kwargs: Any) -> None:
    """The core's main function: vLLM's own, with our grammars."""
    from serve.engine.vllm import grammar_backend  # noqa: PLC0415 - its import is the core's

    grammar_backend.install(kwargs)
    _run_engine_core(*args, **kwargs)


def run_engine_core(*args: Any, **kwargs: Any) -> None:
    """The core's main function in a fork. Its worker comes from the same server."""
    fork_server: Any = forkserver._forkserver  # noqa: SLF001
    # Python would start another fork server here.
    fork_server.ensure_running = resource_tracker.ensure_running
    multiproc_executor.get_mp_context = _forking
    WorkerProc.worker_main = staticmethod(run_worker)
    run_core(*args, **kwargs)


def run_worker(*args: Any, **kwargs: Any) -> None:
    """The worker's main function: vLLM's own, in a fork, on the CPUs that vLLM chose for it."""
    # Their imports are the fork server's, and the worker's.
    from serve.engine.vllm import grammar_mask, preload  # noqa: PLC0415

    os.sched_setaffinity(0, preload.WORKER_CPUS)
    # Counting the tokens above one takes no compiler, for which the first request for logprobs
    # would wait 13 s where no compiled code is at hand.
    sampler.batched_count_greater_than = inspect.unwrap(sampler.batched_count_greater_than)
    packed_kernel.install()
    grammar_mask.install()
    _run_worker(*args, **kwargs)


def _forking() -> BaseContext:
    return multiprocessing.get_context("forkserver")
