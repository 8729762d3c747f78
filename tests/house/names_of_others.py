"""Names in our texts that are no names of this repository: those of others, and of the past."""

from __future__ import annotations

OTHERS: dict[str, frozenset[str]] = {
    "docker and podman": frozenset(
        {"--cap-drop", "--network", "--read-only", "--security-opt", "--shm-size", "--tmpfs"}
    ),
    "PostgreSQL": frozenset({"pg_dump"}),
    "JSON Schema": frozenset({"uniqueItems"}),
    "uv": frozenset({"--torch-backend"}),
    "curl, OpenSSL, CUDA": frozenset(
        {
            *("ALL_PROXY", "CURL_CA_BUNDLE", "HTTP_PROXY", "--cert"),
        }
    ),
    "kubectl and Kubernetes": frozenset(
        {
            "--ignore-errors",
            "--previous",
            "CrashLoopBackOff",
            "ProgressDeadlineExceeded",
            "allowVolumeExpansion",
        }
    ),
    "huggingface_hub": frozenset({"hf_hub_download", "snapshot_download"}),
    "model_signing": frozenset({"--signature"}),
    "llama.cpp": frozenset({"--kl-divergence"}),
    "openai": frozenset({"pydantic_function_tool"}),
    "starlette": frozenset({"BaseHTTPMiddleware"}),
    "torch": frozenset({"enable_gqa", "qlinear_pointwise", "_weight_int8pack_mm"}),
    "bitsandbytes": frozenset({"int8_scaled_mm"}),
    "transformers": frozenset(
        {
            "utils/chat_template_utils.py",
            "cancel_request",
            "configuration_files",
            "masking_utils",
            "_preprocess_mask_arguments",
        }
    ),
    "compressed-tensors": frozenset({"quantization/quant_args.py", "config/format.py"}),
    "vLLM": frozenset(
        {
            *("EngineCoreClient", "add_cli_args", "cpu_gemm_wna16", "from_engine_args"),
            *("safetensors_load_strategy", "compressed_tensors/utils.py", "find_matched_target"),
            *("vllm/benchmarks/serve.py", "--stream-interval"),
            *("--backend", "--dataset-name", "--random-input-len", "--random-output-len"),
            *("--num-prompts", "--max-concurrency", "--ignore-eos"),
            "--enable-prompt-tokens-details",
        }
    ),
}
"""By their owner. Each stands in a sentence that says whose it is."""

ELSEWHERE: dict[str, dict[str, str]] = {
    "docs/evidence.md": {
        "controls.md": "a file that the command writes",
    },
    "serve/evidence/collecting.py": {
        "controls.md": "a file that the command writes",
    },
    "docs/adr/0003-own-continuous-batching.md": {
        "benchmarks.engine_vs_transformers": "the command of then; the page names today's",
    },
    "docs/adr/0005-vllm-engine.md": {
        "benchmarks.engine_streams": "the command of then; the page names today's",
    },
    "docs/adr/0013-state-that-replicas-share.md": {
        "--database-url": "designed and not built, as the page says",
        "--cache-url": "designed and not built, as the page says",
    },
    "docs/browser.py": {
        "--host-resolver-rules": "Chromium's",
    },
    "docs/clients.md": {
        **dict.fromkeys(("with_structured_output", "bind_tools"), "LangChain's methods"),
        **dict.fromkeys(("OpenAILike", "context_window"), "LlamaIndex's class, and its argument"),
        "AsyncOpenAI": "openai's class",
    },
    "docs/tls.md": {
        "--cacert": "curl's",
        **dict.fromkeys(("proxy_ssl_trusted_certificate", "proxy_ssl_name"), "nginx'"),
    },
    "serve/pipeline/model_dialects/harmony.py": {
        "docs/format.md": "a page of openai-harmony's, as the docstring says",
    },
    "docs/troubleshooting.md": {
        "INTRAMURAL_MAX_SEQS": "a typing error, as the message shows it",
    },
    "docs/kubernetes.md": {
        "k8s/mine/kustomization.yaml": "a file that the reader makes",
    },
    "docs/monitoring.md": {
        **dict.fromkeys(("ruleSelector", "podMonitorSelector"), "of the operator's Prometheus"),
        "searchNamespace": "of the chart of Grafana's sidecar",
        "container_memory_working_set_bytes": "the kubelet's metric",
    },
    "docs/lab-notes.md": {
        "benchmarks.engine_streams": "a command of then",
        "benchmarks.engine_vs_transformers": "a command of then",
        "benchmarks.many_streams": "a command of then",
        "tests/benchmarks/quality/test_demo.py": "a test of then",
        "MANY_ROWS": "a constant of then",
    },
}
"""By file: what is not here any more, not here yet, or made by the reader; and why it may stand."""
