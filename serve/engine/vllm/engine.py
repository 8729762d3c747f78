"""vLLM behind the Engine protocol: ``AsyncLLM``, token ids in, token ids out.

::

    stream() ── AsyncLLM.generate() ══ unix socket ══▶ EngineCore ─▶ worker(s)     processes
                  one output handler per event loop ◀═ tokens and scheduler figures, every step

Nothing of vLLM's HTTP server, tokenizer or detokenizer is used; ``grammar_backend.py`` compiles
grammars in its core. With ``fork.py``, which starts the processes, and ``sampling_params.py`` the
only module of this process that imports vLLM, pinned to releases whose ``AsyncLLM`` was read (ADR
0005). Its death and rebirth are supervised by ``supervisor.py``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Self

from vllm import AsyncEngineArgs
from vllm.exceptions import VLLMClientError
from vllm.inputs.engine import tokens_input
from vllm.lora.request import LoRARequest
from vllm.platforms import current_platform
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError as VllmDeadError

from models import temporary_folder
from serve import timeline
from serve.engine import model_files
from serve.engine.delivery import Mailbox
from serve.engine.model_files import Checkpoint
from serve.engine.protocol import (
    Capability,
    EngineInfo,
    EngineLoad,
    EngineRequest,
    Progress,
    TokenChunk,
)
from serve.engine.request_check import check_request
from serve.engine.settings import EngineSettings
from serve.engine.vllm import (
    asking,
    cpu,
    fork,
    lora,
    other_schemes,
    outputs,
    processes,
    served_dtypes,
    stored_model,
)
from serve.engine.vllm.allocator import return_large_buffers
from serve.engine.vllm.arguments import base_arguments, extra_arguments
from serve.engine.vllm.heartbeat import Heartbeat
from serve.engine.vllm.loading import LoadWatch
from serve.engine.vllm.outputs import RequestFailed, TokenRouter
from serve.engine.vllm.platform import platform_arguments
from serve.engine.vllm.reaper import Reaper
from serve.engine.vllm.sampling_params import sampling_params
from serve.engine.vllm.served_info import info_of
from serve.environment import set_engine_environment, temporary_files_in
from serve.errors import EngineDeadError, InvalidRequest, StartupError

log = logging.getLogger(__name__)

SHUTDOWN_S = 3.0
_FAILURES = (ValueError, TypeError, AttributeError, ImportError, KeyError, OSError, RuntimeError)


class VllmEngine:
    """An ``Engine``. Made by ``from_folder``; serves the event loop of its first stream."""

    def __init__(
        self,
        llm: AsyncLLM,
        info: EngineInfo,
        heartbeat: Heartbeat,
        router: TokenRouter,
        reaper: Reaper,
    ) -> None:
        self._llm: AsyncLLM | None = llm
        self._router = router
        self._info = info
        self._heartbeat = heartbeat
        self._loras: dict[str, LoRARequest] = {}
        self._death: str | None = None
        # Known while they live: what they leave behind is tidied up after they died.
        manager = llm.engine_core.resources.engine_manager
        self._processes = processes.engine_family(process.pid for process in manager.processes)
        self._shared_memory = processes.shared_memory(self._processes)
        self._reaper = reaper
        reaper.add(self._processes, self._shared_memory)

    @classmethod
    def from_folder(cls, path: Path, settings: EngineSettings, progress: Progress) -> Self:
        """Start vLLM's processes. Blocks until the model is loaded: call it in a thread.

        The phases happen in other processes: ``vllm/loading`` says what is known of them.

        Raises:
            StartupError: vLLM cannot run this model, this way, on this machine.
        """
        checkpoint = model_files.read(path, cpu.read_config(path))
        stored_model.refuse_misfit(checkpoint, current_platform.device_type)
        checkpoint.tell_differences()
        config, files = checkpoint.config, checkpoint.files
        adapters = lora.plan(checkpoint, settings.vllm, current_platform.device_type)
        arguments = _arguments(checkpoint, settings, adapters)
        set_engine_environment({"VLLM_RPC_BASE_PATH": _own_folder()})
        if settings.vllm.enforce_eager:
            # Else the first request for logprobs would wait for a compiler, 10 s and more.
            set_engine_environment({"TORCHDYNAMO_DISABLE": "1"})
        return_large_buffers()
        reaper = Reaper()
        try:
            with LoadWatch(path, files.names, progress, reaper), temporary_files_in(_own_folder()):
                llm = fork.launch(AsyncEngineArgs(**arguments))
        except _FAILURES as error:
            reaper.close()
            _remove_rendezvous_files()
            raise StartupError(
                f"The vLLM engine cannot run {path.name}: {type(error).__name__}: "
                f"{str(error)[:800]}. Its own log, above, may say more."
            ) from error
        heartbeat = Heartbeat(settings.vllm.stall_timeout_s, timeline.now)
        # Its own figures per token would cost the event loop as much as our whole path does.
        llm.logger_manager, llm.log_stats = heartbeat, False
        router = TokenRouter(settings.max_hold_s)
        llm.output_processor = router
        # Grammars are checked by the server, and by the core as it compiles them; vLLM would check
        # them here, on the event loop, and wants a tokenizer for it.
        llm.input_processor.structured_outputs_config = None
        engine = cls(
            llm,
            info_of(llm.vllm_config, checkpoint, current_platform.device_type),
            heartbeat,
            router,
            reaper,
        )
        engine._check_served(path, config)
        engine._check_grammars(path)
        if adapters.paths:
            engine._load_adapters(adapters.paths)
        return engine

    def _check_served(self, path: Path, config: Mapping[str, Any]) -> None:
        """Raises StartupError, with the engine closed, where it serves another type than asked."""
        scheme = served_dtypes.scheme_in(path)
        dtype, device = self._info.dtype, self._info.device
        dtype = served_dtypes.describe(config, scheme, dtype, device=device)
        self._info = replace(self._info, dtype=dtype)
        if scheme is None:
            return
        ignore = served_dtypes.ignored(config.get("quantization_config") or {})
        fault = asyncio.run(served_dtypes.check(self._llm, scheme, ignore))
        if fault is not None:
            asyncio.run(self.close())
            raise StartupError(f"{path.name} would not be served as it is stored: {fault}.")

    def _check_grammars(self, path: Path) -> None:
        """Offer grammars, unless the core has no use for the model's tokenizer; then say why."""
        fault = asyncio.run(asking.grammar_fault(self._llm))
        if fault is None:
            grammar: frozenset[Capability] = frozenset({"grammar"})
            self._info = replace(self._info, capabilities=self._info.capabilities | grammar)
        else:
            log.warning("no grammars on this model", extra={"model": path.name, "reason": fault})

    def _load_adapters(self, paths: Mapping[str, Path]) -> None:
        """Load the adapters. Raises StartupError, with the engine closed, where one is broken."""
        self._loras = {
            name: LoRARequest(lora_name=name, lora_int_id=number, lora_path=str(path))
            for number, (name, path) in enumerate(paths.items(), 1)
        }
        self._info = replace(self._info, adapters=tuple(paths))
        fault = asyncio.run(lora.preload(self._llm, self._loras.values()))
        if fault is not None:
            asyncio.run(self.close())
            raise StartupError(fault)

    @property
    def info(self) -> EngineInfo:
        return self._info

    def load(self) -> EngineLoad:
        return self._heartbeat.load()

    async def stream(self, request: EngineRequest) -> AsyncGenerator[TokenChunk, None]:
        """See ``Engine.stream``. Nothing is taken before the first chunk is asked for."""
        check_request(self._info, request)
        llm = self._alive()
        sampling = request.sampling
        if sampling.grammar is None:
            params = sampling_params(sampling, self._info)
        else:  # which may be of a quarter of a million characters
            params = await asyncio.to_thread(sampling_params, sampling, self._info)
        prompt = tokens_input(list(request.prompt_token_ids), cache_salt=request.cache_salt)
        mailbox = self._router.open(request.request_id, sampling.num_logprobs)
        self._heartbeat.opened()
        has_begun = False
        try:
            adapter = self._loras[request.adapter] if request.adapter else None
            await llm.add_request(request.request_id, prompt, params, lora_request=adapter)
            chunk = await self._first(mailbox, request)
            has_begun = True
            yield chunk
            while chunk.finish_reason is None:
                chunk = await mailbox.take()
                yield chunk
        except RequestFailed:
            raise outputs.failure(request, has_begun=has_begun) from None
        except VLLMClientError as error:
            raise InvalidRequest(f"The engine refuses this request: {error}") from None
        except VllmDeadError:
            raise EngineDeadError(self._death or "The engine stopped.") from None
        finally:
            self._heartbeat.closed()
            unfinished_id = self._router.close(request.request_id)
            if unfinished_id is not None and not llm.errored:
                with suppress(VllmDeadError):
                    await llm.abort(unfinished_id, internal=True)

    async def _first(self, mailbox: Mailbox, request: EngineRequest) -> TokenChunk:
        chunk = await mailbox.take()
        count = request.sampling.num_prompt_logprobs
        if count is None:
            return chunk
        parts = self._router.prompt_logprobs(request.request_id)
        values = await asyncio.to_thread(outputs.of_prompt, parts, count)
        return replace(chunk, prompt_logprobs=values)

    async def check_health(self) -> None:
        """Raises EngineDeadError when a process is gone, or no step was made for too long."""
        self._alive()
        stalled_s = self._heartbeat.stalled_s()
        if stalled_s is not None:
            self._death = f"The engine made no step for {stalled_s:.0f} s and counts as hung."
            log.error("engine hung", extra={"stalled_s": round(stalled_s, 1)})
            raise EngineDeadError(self._death)

    async def close(self) -> None:
        llm, self._llm = self._llm, None
        if llm is None:
            return
        self._death = self._death or "The engine is closed."
        # The open streams first: vLLM's own shutdown cancels the task that would tell them.
        self._router.propagate_error(VllmDeadError())
        # Then its processes, outright: they hold nothing that is worth seconds of farewell, and
        # stopped ones heed nothing less. Its monitor need not be alarmed.
        llm.engine_core.resources.engine_dead = True
        processes.kill(self._processes)
        await asyncio.to_thread(llm.shutdown, SHUTDOWN_S)
        await asyncio.to_thread(llm.engine_core.resources.ctx.destroy, 0)  # threads, descriptors
        await asyncio.to_thread(self._reaper.close)  # kills and removes what is left
        _remove_rendezvous_files()

    def _alive(self) -> AsyncLLM:
        """The engine below. Raises EngineDeadError when it is not there any more."""
        if self._death is None and (self._llm is None or self._llm.errored):
            self._death = "The engine stopped."
        if self._death is not None:
            raise EngineDeadError(self._death)
        return self._llm


@cache
def _own_folder() -> str:
    """Sockets and temporary files of vLLM's processes: a folder of this process alone (0700)."""
    return str(temporary_folder.make("vllm"))


def _remove_rendezvous_files() -> None:
    """Files by which workers found each other. Processes that are killed leave them behind."""
    for file in Path(_own_folder()).glob("vllm_dist_*"):
        file.unlink(missing_ok=True)


def _arguments(
    checkpoint: Checkpoint,
    settings: EngineSettings,
    adapters: lora.LoraPlan,
) -> dict[str, Any]:
    """All engine arguments; later ones go before earlier ones.

    Raises:
        StartupError: memory is short, or an argument is not for operators to give.
    """
    device = current_platform.device_type
    config = checkpoint.config
    weight_bytes = checkpoint.files.total_bytes + adapters.num_bytes
    return {
        **base_arguments(checkpoint.folder, settings),
        **stored_model.stretched_context(config),
        **other_schemes.arguments(served_dtypes.scheme_in(checkpoint.folder)),
        "dtype": cpu.pick_dtype(config, settings),
        **platform_arguments(device, config, settings, weight_bytes),
        **adapters.arguments,
        **extra_arguments(settings, AsyncEngineArgs.__dataclass_fields__),
    }
