"""The Grafana dashboard: its rows and panels. dashboard_json.py makes the file of them.

A row for each question of an operator, three panels a line: one table, of more than 400 lines.
Queries take the variables ``$datasource`` and ``$job`` and, where they rate, Grafana's
``$__rate_interval``.
"""

from __future__ import annotations

from dataclasses import dataclass

_JOB = 'job=~"$job"'
_RATE = "[$__rate_interval]"
_CLASS = "le, class"
_CERTIFICATE = ("tls_certificate_not_after", "tls_certificate_not_before")


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel of lines over time.

    Attributes:
        unit: Grafana's id of it.
        queries: of each line or bundle of lines: PromQL, and the legend.
    """

    title: str
    unit: str
    description: str
    queries: tuple[tuple[str, str], ...]


def _rate(metric: str, labels: str = "", by: str = "") -> str:
    """The sum of a counter's rates over all replicas."""
    total = f"sum by ({by})" if by else "sum"
    return (
        f"{total} (rate(intramural_{metric}{{{', '.join(filter(None, (_JOB, labels)))}}}{_RATE}))"
    )


def _gauge(metric: str) -> str:
    return f"intramural_{metric}{{{_JOB}}}"


def _quantiles(metric: str) -> tuple[tuple[str, str], ...]:
    """Median, 95th and 99th percentile of a histogram over all replicas."""
    buckets = _rate(f"{metric}_bucket", by="le")
    return tuple(
        (f"histogram_quantile({share}, {buckets})", name)
        for share, name in ((0.5, "median"), (0.95, "p95"), (0.99, "p99"))
    )


ROWS: dict[str, tuple[Panel, ...]] = {
    "Is it there": (
        Panel(
            "Replicas",
            "short",
            "Replicas that answer a scrape, and those of them that have an engine.",
            (
                (f"sum (up{{{_JOB}}})", "answering"),
                (f"count ({_gauge('requests_running')}) or vector(0)", "ready"),
            ),
        ),
        Panel(
            "Requests by status",
            "reqps",
            "HTTP requests that are over. 499: the client left before there was an answer.",
            ((_rate("requests_total", by="status"), "{{status}}"),),
        ),
        Panel(
            "Refusals by code",
            "reqps",
            "Requests that ended in an error, also in mid-stream, by the codes of docs/errors.md; "
            "and clients that left before their answer was complete.",
            (
                (_rate("refusals_total", by="code"), "{{code}}"),
                (_rate("disconnects_total"), "client left"),
            ),
        ),
    ),
    "Is it quick": (
        Panel(
            "Time to first token",
            "s",
            "From a request's arrival to its first token. The alert's objective: 95 % within 2 s.",
            _quantiles("time_to_first_token_seconds"),
        ),
        Panel(
            "Time between tokens",
            "s",
            "People read about five tokens a second: 0.2 s.",
            _quantiles("inter_token_latency_seconds"),
        ),
        Panel(
            "Duration and way to the engine",
            "s",
            "From arrival to the end of the answer, and to the hand-over to the engine.",
            (
                (_quantiles("request_duration_seconds")[1][0], "whole answer, p95"),
                (_quantiles("request_queue_seconds")[1][0], "to the engine, p95"),
            ),
        ),
    ),
    "What limits it": (
        Panel(
            "Sequences",
            "short",
            "Admitted, in the engine's batch, and waiting for it. Waiting should be 0.",
            tuple(
                (f"sum ({_gauge(f'requests_{state}')})", state)
                for state in ("admitted", "running", "waiting")
            ),
        ),
        Panel(
            "KV cache in use",
            "percentunit",
            "By replica. Above 0.95 with requests waiting: memory for contexts is what limits.",
            ((_gauge("kv_cache_usage_ratio"), "{{instance}}"),),
        ),
        Panel(
            "Engine",
            "short",
            "Forward passes a second by replica; deaths of engines in the last hour.",
            (
                (_rate("engine_steps_total", by="instance"), "steps/s {{instance}}"),
                (f"sum (increase({_gauge('engine_deaths_total')}[1h]))", "deaths in 1 h"),
            ),
        ),
        Panel(
            "Tokens",
            "short",
            "Tokens a second: of prompts, those of them that the prefix cache had, and generated.",
            (
                (_rate("prompt_tokens_total"), "prompt"),
                (_rate("cached_tokens_total"), "prompt, cached"),
                (_rate("completion_tokens_total"), "generated"),
            ),
        ),
        Panel(
            "Tokens by model",
            "short",
            "Prompt and completion tokens a second, by the name that was asked for.",
            ((_rate("model_tokens_total", by="model, kind"), "{{model}} {{kind}}"),),
        ),
        Panel(
            "Requests by model",
            "reqps",
            "Requests that reached the engine, by the name that was asked for.",
            ((_rate("model_requests_total", by="model"), "{{model}}"),),
        ),
    ),
    "Who waits": (
        Panel(
            "Requests that wait",
            "short",
            "In the fair queue, by class, over all replicas: docs/queue.md.",
            ((f"sum by (class) ({_gauge('queue_requests')})", "{{class}}"),),
        ),
        Panel(
            "Tokens that wait",
            "short",
            "Prompts and expected answers of these.",
            ((f"sum by (class) ({_gauge('queue_tokens')})", "{{class}}"),),
        ),
        Panel(
            "Waiting for a turn",
            "s",
            "95th percentile by class of what reached the engine; and requests a second that ended "
            "at their deadline, by how far they had come.",
            (
                (
                    f"histogram_quantile(0.95, {_rate('queue_wait_seconds_bucket', by=_CLASS)})",
                    "{{class}}, p95",
                ),
                (_rate("deadlines_exceeded_total", by="stage"), "deadline, {{stage}}"),
            ),
        ),
    ),
    "What is not computed": (
        Panel(
            "Prefix cache",
            "short",
            "Tokens of prompts a second that were looked up in it, and that were there.",
            (
                (_rate("prefix_cache_queries_total"), "looked up"),
                (_rate("prefix_cache_hits_total"), "found"),
            ),
        ),
        Panel(
            "Prompts by what the cache had",
            "reqps",
            "`hit`, or why a known beginning could not be used: docs/prefix-cache.md.",
            ((_rate("prefix_cache_prompts_total", by="cause"), "{{cause}}"),),
        ),
        Panel(
            "Blocks kept",
            "short",
            "Blocks of the KV cache that later prompts can use, by replica, and those given up a "
            "second. Many, with `evicted` prompts: the KV cache is too small.",
            (
                (_gauge("prefix_cache_blocks"), "kept {{instance}}"),
                (_rate("prefix_cache_evictions_total"), "given up/s"),
            ),
        ),
        Panel(
            "Response cache",
            "reqps",
            "Requests a second that it answered, that it could have, and whose answers or lookups "
            "its server did not take or nobody could decrypt: docs/response-cache.md.",
            (
                (_rate("response_cache_hits_total"), "answered"),
                (_rate("response_cache_misses_total"), "computed"),
                (_rate("response_cache_failures_total"), "failed"),
                (_rate("response_cache_rejected_total"), "rejected"),
            ),
        ),
        Panel(
            "Answers kept",
            "short",
            "By replica, and those a second that went to make room. No replica's server of a "
            "shared cache answers: availability is 0.",
            (
                (_gauge("response_cache_entries"), "kept {{instance}}"),
                (_rate("response_cache_evictions_total"), "given up/s"),
                (f"min ({_gauge('response_cache_available')})", "available"),
            ),
        ),
        Panel(
            "Bytes of answers kept",
            "bytes",
            "By replica; of a shared cache each tells the bytes of all.",
            ((_gauge("response_cache_bytes"), "{{instance}}"),),
        ),
        Panel(
            "Guessed tokens",
            "short",
            "Tokens a second that prompt lookup guessed, and those of them that were right.",
            (
                (_rate("spec_decode_num_draft_tokens_total"), "guessed"),
                (_rate("spec_decode_num_accepted_tokens_total"), "right"),
            ),
        ),
    ),
    "What is recorded": (
        Panel(
            "Audit log",
            "short",
            "Whether each replica's audit log is written (1) or cannot be (0), and its entries.",
            (
                (_gauge("audit_log_available"), "written {{instance}}"),
                (f"rate({_gauge('audit_log_entries')}{_RATE})", "entries/s {{instance}}"),
            ),
        ),
        Panel(
            "Writes of the audit log",
            "s",
            "Time of a write, in which all that waited is made durable together.",
            _quantiles("audit_write_seconds"),
        ),
        Panel(
            "Not in the audit log",
            "short",
            "Calls that passed unrecorded in the last hour, and refusals whose records were lost.",
            (
                (f"sum (increase({_gauge('audit_unrecorded_total')}[1h]))", "unrecorded"),
                (f"sum by (type) (increase({_gauge('audit_lost_total')}[1h]))", "lost {{type}}"),
            ),
        ),
        Panel(
            "Cosigned by every witness",
            "short",
            "Entries that are not cosigned yet: a few while witnesses answer. docs/audit.md.",
            (
                (
                    f"{_gauge('audit_log_entries')} - {_gauge('audit_cosigned_entries')}",
                    "{{instance}}",
                ),
            ),
        ),
        Panel(
            "What witnesses say",
            "short",
            "Checkpoints in the last hour. Refused: another log than was cosigned before.",
            (
                (
                    f"sum by (outcome) (increase({_gauge('audit_witness_requests_total')}[1h]))",
                    "{{outcome}}",
                ),
            ),
        ),
    ),
    "Who is told": (
        Panel(
            "Alerts about budgets",
            "short",
            "Deliveries in the last hour by channel, those that failed, and alerts that wait. Ones "
            "that were given up reached nobody in 7 days: docs/alerts.md.",
            (
                (f"sum by (channel) (increase({_gauge('alerts_sent_total')}[1h]))", "{{channel}}"),
                (
                    f"sum by (channel) (increase({_gauge('alerts_failed_total')}[1h]))",
                    "{{channel}} failed",
                ),
                (f"max ({_gauge('alerts_pending')})", "waiting"),
                (f"sum (increase({_gauge('alerts_given_up_total')}[1h]))", "given up"),
            ),
        ),
    ),
    "What answers are worth": (
        Panel(
            "Feedback",
            "short",
            "Answers in the last hour that got feedback, by model, arm and rating: "
            "docs/feedback.md.",
            (
                (
                    f"sum by (model, arm, rating) (increase({_gauge('feedback_total')}[1h]))",
                    "{{model}} {{arm}} {{rating}}",
                ),
            ),
        ),
    ),
    "Who is let in": (
        Panel(
            "Refused by limits",
            "reqps",
            "Requests a second that a limit refused, by its name and by what it bounds.",
            ((_rate("limit_refusals_total", by="limit, kind"), "{{limit}} {{kind}}"),),
        ),
        Panel(
            "Observed limits",
            "reqps",
            "Requests a second that a limit would have refused, were it not only observed.",
            ((_rate("limit_observed_total", by="limit, kind"), "{{limit}} {{kind}}"),),
        ),
        Panel(
            "Masked",
            "reqps",
            "Hits of masking a second, by rule, action and side.",
            (
                (
                    _rate("masking_hits_total", by="rule, action, side"),
                    "{{rule}} {{action}} {{side}}",
                ),
            ),
        ),
        Panel(
            "Masking: failures",
            "reqps",
            "Prompts and answers that could not be masked, and that nobody has. Anything but 0 is "
            "a defect.",
            ((_rate("masking_failures_total", by="side"), "{{side}}"),),
        ),
        Panel(
            "Masking file in force",
            "bool_yes_no",
            "No: the newest masking file cannot be used, and the rules before it stay.",
            ((_gauge("masking_file_usable"), "{{instance}}"),),
        ),
        Panel(
            "Reservations and usage that waits",
            "short",
            "Running requests that hold room in limits; requests whose usage waits in a replica's "
            "own file for the database.",
            (
                (_gauge("reservations_held"), "held {{instance}}"),
                (_gauge("usage_spool_requests"), "waiting {{instance}}"),
            ),
        ),
        Panel(
            "Limits file in force",
            "bool_yes_no",
            "No: the newest limits file cannot be used, and the limits before it stay.",
            ((_gauge("limits_file_usable"), "{{instance}}"),),
        ),
        Panel(
            "Rates counted for all replicas",
            "bool_yes_no",
            "No: Valkey, or the database, does not answer, and each replica counts its share.",
            ((_gauge("limits_shared"), "{{instance}}"),),
        ),
    ),
    "What screens find": (
        Panel(
            "Content filter",
            "reqps",
            "Hits a second, by rule, direction and action.",
            (
                (
                    _rate("content_filter_hits_total", by="rule, direction, action"),
                    "{{rule}} {{direction}} {{action}}",
                ),
            ),
        ),
        Panel(
            "Content filter: failures",
            "reqps",
            "What it could not look at, and let nobody have. Anything but 0 is a defect, or a text "
            "that took too long.",
            ((_rate("content_filter_failures_total", by="direction"), "{{direction}}"),),
        ),
        Panel(
            "Answers rejected",
            "reqps",
            "Answers of another form than the presets file asks for, by rule and what came of it.",
            ((_rate("answers_rejected_total", by="rule, outcome"), "{{rule}} {{outcome}}"),),
        ),
        Panel(
            "Rules files in force",
            "bool_yes_no",
            "No: the newest file cannot be used, and the rules before it stay.",
            (
                (_gauge("content_filter_file_usable"), "content filter {{instance}}"),
                (_gauge("presets_file_usable"), "presets {{instance}}"),
            ),
        ),
    ),
    "How is the process": (
        Panel(
            "Resident memory",
            "bytes",
            "Of the server's own process; vLLM's engine runs in others.",
            ((f"process_resident_memory_bytes{{{_JOB}}}", "{{instance}}"),),
        ),
        Panel(
            "Processor",
            "short",
            "Cores in use by the server's own process.",
            ((f"rate(process_cpu_seconds_total{{{_JOB}}}{_RATE})", "{{instance}}"),),
        ),
        Panel(
            "Answering a scrape",
            "s",
            "Milliseconds, unless the event loop is held up.",
            ((f"scrape_duration_seconds{{{_JOB}}}", "{{instance}}"),),
        ),
        Panel(
            "File descriptors",
            "percentunit",
            "Open ones as a share of the limit. Each connection takes one.",
            (
                (
                    f"process_open_fds{{{_JOB}}} / process_max_fds{{{_JOB}}}",
                    "{{instance}}",
                ),
            ),
        ),
        Panel(
            "Key file in force",
            "bool_yes_no",
            "No: the newest key file cannot be used, and the keys before it stay.",
            ((_gauge("key_file_usable"), "{{instance}}"),),
        ),
        Panel(
            "Database answers",
            "bool_yes_no",
            "No: it failed five times in a row, and is tried again with pauses.",
            ((_gauge("database_available"), "{{instance}}"),),
        ),
        Panel(
            "TLS files in force",
            "bool_yes_no",
            "No: the newest certificate, key or map cannot be used, and those before stay.",
            ((_gauge("tls_files_usable"), "{{instance}}"),),
        ),
        Panel(
            "Certificate's life",
            "s",
            "Time that is left of it, and all of it. Empty without TLS.",
            (
                (f"{_gauge('tls_certificate_not_after')} - time()", "{{instance}}, left"),
                (
                    " - ".join(map(_gauge, _CERTIFICATE)),
                    "{{instance}}, in all",
                ),
            ),
        ),
        Panel(
            "Refused TLS handshakes",
            "reqps",
            "Plain HTTP, old versions, clients' certificates that are missing or not good.",
            (
                (
                    f"rate(intramural_tls_handshakes_refused_total{{{_JOB}}}{_RATE})",
                    "{{instance}}",
                ),
            ),
        ),
        Panel(
            "What runs",
            "short",
            "A line per version, model and engine: two in a roll-out, else one.",
            (
                (f"count by (version) ({_gauge('build_info')})", "{{version}}"),
                (
                    f"count by (model, engine, device) ({_gauge('model_info')})",
                    "{{model}} {{engine}} {{device}}",
                ),
            ),
        ),
    ),
}
