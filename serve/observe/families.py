"""Every metric of ours, declared once: serve/observe/metrics.py makes the collectors from this
table, and docs/generate.py makes docs/metrics.md. Long, over 400 lines, because it is a table.

Labels take values from closed sets only (route templates, statuses, error codes, the one model's
own facts, the names that the operator gave it and its adapters), never text of a client: each new
value of a label is a new series for ever.

The file has more than 400 lines, because it is one table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PREFIX = "intramural_"

Kind = Literal["counter", "gauge", "histogram"]
Source = Literal["requests", "scrape", "process", "alerts", "screens"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One metric.

    Attributes:
        source: `requests` are updated when a request is over, `scrape` are read from the engine
            and its neighbours when somebody scrapes, `process` are set once, `alerts` are updated
            when alerts are sent or witnesses asked, `screens` while prompts and answers are looked
            at.
        buckets: upper bounds of a histogram, in its unit, ascending, without +Inf.
    """

    name: str
    kind: Kind
    meaning: str
    source: Source
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_TTFT_S = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 40, 80)
_ITL_S = (
    *(0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05),
    *(0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5),
)
_E2E_S = (0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 45, 60, 120, 300, 600)
_QUEUE_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


def _family(name: str, kind: Kind, source: Source, meaning: str, *labels: str) -> Family:
    return Family(name=PREFIX + name, kind=kind, meaning=meaning, source=source, labels=labels)


def _histogram(name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Family:
    return Family(
        name=PREFIX + name,
        kind="histogram",
        meaning=meaning,
        source="requests",
        labels=labels,
        buckets=buckets,
    )


FAMILIES: tuple[Family, ...] = (
    _family(
        "requests_total",
        "counter",
        "requests",
        "HTTP requests that are over, by route template (`unmatched`: no such route), method and "
        "status (499: the client left before there was one).",
        *("route", "method", "status"),
    ),
    _family(
        "refusals_total",
        "counter",
        "requests",
        "Requests that ended in an error, before the answer began or in mid-stream, by the error "
        "code of docs/errors.md. Probes that say 'not yet' are none.",
        "code",
    ),
    _family(
        "disconnects_total",
        "counter",
        "requests",
        "Requests whose client left before the answer was complete.",
    ),
    _family(
        "prompt_tokens_total",
        "counter",
        "requests",
        "Tokens of rendered prompts, each prompt counted once whatever `n` is.",
    ),
    _family(
        "completion_tokens_total",
        "counter",
        "requests",
        "Tokens generated, stop tokens included; those of clients that left early too.",
    ),
    _family(
        "cached_tokens_total",
        "counter",
        "requests",
        "Prompt tokens that the engine took from a prefix cache.",
    ),
    _family(
        "prefix_cache_prompts_total",
        "counter",
        "requests",
        "Prompts that were computed and answered, by what became of them in the prefix cache "
        "(docs/prefix-cache.md): `hit`, or why they left what was known of them. Absent without a "
        "prefix cache.",
        "cause",
    ),
    _family(
        "model_requests_total",
        "counter",
        "requests",
        "Requests that reached the engine, by the name asked for: one of the model's, or an "
        "adapter's.",
        "model",
    ),
    _family(
        "model_tokens_total",
        "counter",
        "requests",
        "Their tokens, by that name, and `kind`: `prompt` or `completion`.",
        *("model", "kind"),
    ),
    _histogram(
        "time_to_first_token_seconds",
        "From a request's arrival to its first token.",
        _TTFT_S,
    ),
    _histogram(
        "inter_token_latency_seconds",
        "Gaps between a choice's tokens; a chunk of k tokens is one gap spread over k.",
        _ITL_S,
    ),
    _histogram(
        "request_duration_seconds",
        "From arrival to the end of the answer, of requests that reached the engine.",
        _E2E_S,
    ),
    _histogram(
        "request_queue_seconds",
        "From arrival to the hand-over to the engine: HTTP, key, parsing, admission, rendering, "
        "waiting.",
        _QUEUE_S,
    ),
    _histogram(
        "queue_wait_seconds",
        "Of that, waiting for a turn in the fair queue (docs/queue.md), by class; of requests that "
        "reached the engine.",
        _QUEUE_S,
        "class",
    ),
    _family(
        "deadlines_exceeded_total",
        "counter",
        "requests",
        "Requests that ended in `deadline_exceeded`, by how far they had come: `refused` before "
        "they waited, `waiting`, or `running` in the engine.",
        "stage",
    ),
    _family(
        "queue_requests",
        "gauge",
        "scrape",
        "Requests that wait for their turn in the fair queue, by class.",
        "class",
    ),
    _family(
        "queue_tokens",
        "gauge",
        "scrape",
        "Tokens of these: their prompts, and up to 512 of each answer.",
        "class",
    ),
    _family(
        "limit_refusals_total",
        "counter",
        "requests",
        "Requests that a limit refused, by its name in the limits file (`key`: one stored with a "
        "key) and by what it bounds, `kind`: `tokens_per_minute`, `money_per_month` and so on.",
        *("limit", "kind"),
    ),
    _family(
        "limit_observed_total",
        "counter",
        "requests",
        'Requests that a limit of `mode = "observe"` would have refused, by the same labels.',
        *("limit", "kind"),
    ),
    _family(
        "reservations_held",
        "gauge",
        "scrape",
        "Running requests of this replica that hold room in limits or budgets. Absent without "
        "limits and ledger, as are the two that follow.",
    ),
    _family(
        "usage_spool_requests",
        "gauge",
        "scrape",
        "Requests whose usage waits in this replica's own file for the database to come back.",
    ),
    _family(
        "limits_file_usable",
        "gauge",
        "scrape",
        "1 while the limits file is the one in force; 0 where the newest one cannot be used and "
        "the limits before it stay.",
    ),
    _family(
        "limits_shared",
        "gauge",
        "scrape",
        "1 while rates and concurrency are counted for all replicas together; 0 where the server "
        "that counts them did not answer the last call, and each replica counts by itself. Absent "
        "where no replicas share.",
    ),
    _family(
        "content_filter_hits_total",
        "counter",
        "screens",
        "Hits of the content filter, by the rule's name in its file, by `direction` (`input`, "
        "`output`, or `moderation`: a text that a client asked about) and by the rule's `action`: "
        "`block` or `count`.",
        *("rule", "direction", "action"),
    ),
    _family(
        "content_filter_failures_total",
        "counter",
        "screens",
        "Texts that the content filter could not look at, for a defect or for want of time, and "
        "that it let nobody have, by `direction`.",
        "direction",
    ),
    _family(
        "content_filter_file_usable",
        "gauge",
        "scrape",
        "1 while the content filter's file is the one in force; 0 where the newest one cannot be "
        "used and the rules before it stay.",
    ),
    _family(
        "presets_file_usable",
        "gauge",
        "scrape",
        "1 while the presets file is the one in force; 0 where the newest one cannot be used and "
        "the presets before it stay.",
    ),
    _family(
        "answers_rejected_total",
        "counter",
        "screens",
        "Answers that were not of the form that the presets file asks for, by the rule's name "
        "and by what came of it: `retried`, `refused`, or `passed` as they were.",
        *("rule", "outcome"),
    ),
    _family(
        "masking_hits_total",
        "counter",
        "screens",
        "Personal data and secrets that masking found, by the rule's name, by its `action` "
        "(`mask`, `pseudonymise`, `block`, `count`) and by `side`: `prompts` or `answers`.",
        *("rule", "action", "side"),
    ),
    _family(
        "masking_failures_total",
        "counter",
        "screens",
        "Texts that masking could not look at, for a defect, and that it let nobody have, by "
        "`side`: `prompts` or `answers`.",
        "side",
    ),
    _family(
        "masking_file_usable",
        "gauge",
        "scrape",
        "1 while the masking file is the one in force; 0 where the newest one cannot be used and "
        "the rules before it stay. Absent without --masking-file.",
    ),
    _family(
        "requests_admitted",
        "gauge",
        "scrape",
        "Sequences that hold an admission slot, from admission to the end of the answer.",
    ),
    _family("requests_running", "gauge", "scrape", "Sequences in the engine's batch."),
    _family(
        "requests_waiting",
        "gauge",
        "scrape",
        "Sequences that wait for the engine: for their turn, or in it for a place in its batch.",
    ),
    _family(
        "kv_cache_usage_ratio", "gauge", "scrape", "Used part of the KV cache, between 0 and 1."
    ),
    _family(
        "prefix_cache_queries_total",
        "counter",
        "scrape",
        "Tokens of prompts that the engine looked up in its prefix cache.",
    ),
    _family(
        "prefix_cache_hits_total",
        "counter",
        "scrape",
        "Of these, tokens that it found there and did not compute.",
    ),
    _family(
        "prefix_cache_evictions_total",
        "counter",
        "scrape",
        "Blocks of the KV cache that were kept for later prompts and given up for other tokens. "
        "With the vLLM engine absent.",
    ),
    _family(
        "prefix_cache_blocks",
        "gauge",
        "scrape",
        "Blocks of the KV cache whose content later prompts can use, those of running sequences "
        "included. With the vLLM engine absent.",
    ),
    _family(
        "response_cache_hits_total",
        "counter",
        "scrape",
        "Requests that were answered from the response cache (docs/response-cache.md). Absent "
        "without --response-cache, as are all of that name.",
    ),
    _family(
        "response_cache_misses_total",
        "counter",
        "scrape",
        "Requests that could have been, and were computed: no answer was kept, or it was too old, "
        "or not wanted.",
    ),
    _family(
        "response_cache_failures_total",
        "counter",
        "scrape",
        "Lookups and answers that the server of a shared cache did not take; each is a miss.",
    ),
    _family(
        "response_cache_rejected_total",
        "counter",
        "scrape",
        "Answers of a shared cache that could not be decrypted: another key's, moved or changed. "
        "Above 0 in one site with one key, somebody else writes to the server.",
    ),
    _family("response_cache_entries", "gauge", "scrape", "Answers that are kept."),
    _family(
        "response_cache_bytes",
        "gauge",
        "scrape",
        "Bytes that they take. Of a shared cache both are of all replicas, as they were when this "
        "one kept an answer last.",
    ),
    _family(
        "response_cache_evictions_total",
        "counter",
        "scrape",
        "Answers that went to make room for others, before their age.",
    ),
    _family(
        "response_cache_available",
        "gauge",
        "scrape",
        "1 while the server of a shared response cache answers; 0 where it failed five times in a "
        "row and is tried again with pauses. Absent where answers are kept in memory.",
    ),
    _family("engine_steps_total", "counter", "scrape", "Forward passes of the engine."),
    _family(
        "spec_decode_num_draft_tokens_total",
        "counter",
        "scrape",
        "Tokens that the transformers engine guessed from the text so far, and checked in a step.",
    ),
    _family(
        "spec_decode_num_accepted_tokens_total",
        "counter",
        "scrape",
        "Of these, those that were right: as many steps were not needed.",
    ),
    _family(
        "engine_deaths_total",
        "counter",
        "scrape",
        "Times that the engine died or hung and was taken down; the server builds it anew.",
    ),
    _family(
        "key_file_usable",
        "gauge",
        "scrape",
        "1 while the API keys in force are those of the key file, or of the database; 0 where the "
        "newest cannot be read and the keys before them stay: a database's for 60 s. There while "
        "the model loads, too; absent without keys.",
    ),
    _family(
        "alerts_sent_total",
        "counter",
        "alerts",
        "Alerts about budgets that a receiver took, by channel. Absent without --alerts-file.",
        "channel",
    ),
    _family(
        "alerts_failed_total",
        "counter",
        "alerts",
        "Tries to deliver an alert that failed, by channel; each is tried again later.",
        "channel",
    ),
    _family(
        "alerts_given_up_total",
        "counter",
        "alerts",
        "Alerts that no receiver took in 7 days.",
    ),
    _family(
        "alerts_pending",
        "gauge",
        "alerts",
        "Alerts that wait to be taken, of all replicas that share the database.",
    ),
    _family(
        "feedback_total",
        "counter",
        "requests",
        "Answers that got feedback, by the model and the arm that gave them (empty without one), "
        "and `rating`: `positive` above 0, `negative` below, `neutral` at 0. Feedback that "
        "replaces an earlier one is not counted again.",
        *("model", "arm", "rating"),
    ),
    _family(
        "database_available",
        "gauge",
        "scrape",
        "1 while the database answers; 0 where it failed five times in a row and is tried again "
        "with pauses. There while the model loads, too; absent where nothing needs a database.",
    ),
    _family(
        "tls_files_usable",
        "gauge",
        "scrape",
        "1 while certificate, key, clients' authorities and the map of clients are those in force; "
        "0 where the newest ones cannot be used and those before them stay. Absent without TLS.",
    ),
    _family(
        "tls_certificate_not_before",
        "gauge",
        "scrape",
        "Unix time at which the server's certificate began, or the one of its chain that ends "
        "first. Absent without TLS.",
    ),
    _family(
        "tls_certificate_not_after",
        "gauge",
        "scrape",
        "Unix time at which it ends. Absent without TLS.",
    ),
    _family(
        "tls_handshakes_refused_total",
        "counter",
        "scrape",
        "TLS handshakes that were refused: plain HTTP, an old version, a client's certificate that "
        "is missing or not good. Silent ones are not counted. Absent without TLS.",
    ),
    _family(
        "model_info",
        "gauge",
        "process",
        "Always 1; the labels say which model is served, by which engine, and its bounds.",
        *("model", "engine", "dtype", "device"),
        *("max_model_len", "max_num_seqs", "kv_cache_tokens"),
    ),
    _family(
        "audit_log_available",
        "gauge",
        "scrape",
        "1 while the audit log is written (docs/audit.md), 0 while it cannot be, or has less "
        "room than `--audit-min-free-bytes`. Absent without one.",
    ),
    _family("audit_log_entries", "gauge", "scrape", "Durable entries of this server's audit log."),
    _histogram(
        "audit_write_seconds",
        "Time of a write of the audit log, in which all that waited is made durable together.",
        (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2),
    ),
    _family(
        "audit_unrecorded_total",
        "counter",
        "requests",
        "Calls, ends and administrators' acts that passed while the audit log could not be "
        "written, with `--audit-when-unavailable pass`.",
    ),
    _family(
        "audit_lost_total",
        "counter",
        "requests",
        "Records of refusals that had no room while the audit log could not be written, by type; "
        "their number is recorded.",
        "type",
    ),
    _family(
        "audit_cosigned_entries",
        "gauge",
        "scrape",
        "Entries of this server's audit log that every witness has cosigned. Absent without "
        "`--audit-witness-file`.",
    ),
    _family(
        "audit_witness_requests_total",
        "counter",
        "alerts",
        "Checkpoints of the audit log submitted to witnesses, by outcome: `cosigned`, `away`, or "
        "`refused`, which means that the log is not the one that was cosigned before.",
        "outcome",
    ),
    _family("build_info", "gauge", "process", "Always 1; the label has the version.", "version"),
    _family(
        "arm_info",
        "gauge",
        "process",
        "Always 1; the label has the experiment arm, `--arm`. Absent without one. Others get the "
        "label by a join: `... * on (instance) group_left (arm) intramural_arm_info`.",
        "arm",
    ),
)

BY_NAME = {family.name.removeprefix(PREFIX): family for family in FAMILIES}
"""Families by name without the prefix."""
