"""What the board shows, from what wakes somebody down to the machines. All data."""

from typing import Final

from ops.watch.panels import Panel, Query, Row, quantiles, rate, slowest

NOW: Final = Row(
    "Now",
    (
        Panel(
            title="Oldest unfinished topup", kind="stat", width=4, unit="s", bad_from=120,
            queries=(Query("max(topup_oldest_unfinished_age_seconds)"),),
        ),
        Panel(
            title="Money in limbo for over an hour", kind="stat", width=4, bad_from=1,
            queries=(
                Query(
                    "sum by (currency) (max by (currency, age) "
                    "(topup_limbo_minor_units{age!='1h'})) / 100",
                    "{{currency}}",
                ),
                Query("sum(topup_limbo_minor_units) * 0 or vector(0)", "none"),
            ),
            about="Unresolved, in units of its currency, if that has two decimals; people decide.",
        ),
        Panel(
            title="Paid a second", kind="stat", width=4, unit="ops",
            queries=(
                Query(
                    "sum(rate(topup_settle_duration_seconds_count{state='succeeded'}"
                    "[$__rate_interval]))"
                ),
            ),
            about="Topups that succeeded.",
        ),
        Panel(
            title="Success", kind="stat", width=4, unit="percentunit", bad_below=0.8,
            queries=(
                Query(
                    "sum(provider_state:topup_settled:rate5m{state='succeeded'}) "
                    "/ sum(provider_state:topup_settled:rate5m)"
                ),
            ),
            about="Share of what ended in the last 5 minutes; wrong numbers are among the rest.",
        ),
        Panel(
            title="Lanes not open", kind="stat", width=4, bad_from=1,
            queries=(Query("sum(1 - min by (provider) (topup_lane_open))"),),
            about="Held, or tried by one topup.",
        ),
        Panel(
            title="Replicas that do not answer", kind="stat", width=4, bad_from=1,
            queries=(Query("sum(1 - up{job='topup'})"),), about="By Prometheus' own scrape.",
        ),
    ),
)  # fmt: skip

FLOW: Final = Row(
    "What comes in, and what becomes of it",
    (
        Panel(
            title="Requests of the API", unit="reqps", stacked=True,
            queries=rate("topup_http_requests_total", "status"),
        ),
        Panel(
            title="Topups that end", unit="ops", stacked=True,
            queries=rate("topup_settle_duration_seconds_count", "state"),
        ),
        Panel(
            title="A request's answer", unit="s", queries=quantiles("topup_accept_duration_seconds")
        ),
        Panel(
            title="From accept to outcome", unit="s",
            queries=quantiles("topup_settle_duration_seconds", "provider"),
        ),
        Panel(
            title="On the lanes", stacked=True,
            queries=(
                Query("max by (provider, state) (topup_lane_topups)", "{{provider}} {{state}}"),
            ),
        ),
        Panel(
            title="Oldest unfinished", unit="s",
            queries=(
                Query("max by (provider) (topup_oldest_unfinished_age_seconds)", "{{provider}}"),
            ),
        ),
    ),
)  # fmt: skip

PROVIDERS: Final = Row(
    "Providers",
    (
        Panel(
            title="Success by provider", unit="percentunit", maximum=1,
            queries=(Query("provider:topup_success:ratio_rate5m", "{{provider}}"),),
            about="Share of its topups that ended in the last 5 minutes and succeeded.",
        ),
        Panel(
            title="Failing to answer", unit="percentunit", maximum=1,
            queries=(
                Query("provider:topup_bad:ratio_rate5m", "{{provider}} 5 min"),
                Query("provider:topup_bad:ratio_rate1h", "{{provider}} 1 h"),
            ),
            about="Share of attempts that were busy, not sent, in doubt, or refused our account; a "
            "refused number is an answer.",
        ),
        Panel(
            title="A call", unit="s",
            about="How long one call to a provider took, logins included.",
            queries=(
                Query(
                    "provider:topup_provider_call_duration_seconds:p50_5m", "{{provider}} half"
                ),
                Query(
                    "provider:topup_provider_call_duration_seconds:p99_5m", "{{provider}} 99 %"
                ),
            ),
        ),
        Panel(
            title="What they say", unit="ops", stacked=True,
            queries=rate("topup_attempts_total", "provider, answer"),
        ),
        Panel(
            title="In flight",
            queries=(Query("sum by (provider) (topup_in_flight_topups)", "{{provider}}"),),
        ),
        Panel(
            title="Lanes", kind="state-timeline", bad_below=1,
            queries=(Query("min by (provider) (topup_lane_open)", "{{provider}}"),),
        ),
    ),
)  # fmt: skip

MONEY: Final = Row(
    "Money and books",
    (
        Panel(
            title="In limbo", stacked=True,
            queries=(
                Query(
                    "max by (currency, age) (topup_limbo_minor_units) / 100",
                    "{{currency}} {{age}}",
                ),
            ),
            about="Unresolved money by how long, in units of its currency; of two decimals.",
        ),
        Panel(
            title="Books behind", unit="s",
            queries=(Query("max(topup_ledger_unbooked_age_seconds)", "oldest unbooked entry"),),
        ),
        Panel(
            title="Conservation", kind="stat", width=4, bad_from=1,
            queries=(Query("max(abs(topup_conservation_error))"),),
        ),
        Panel(
            title="Contradictions in a day", kind="stat", width=4, bad_from=1,
            queries=(Query("sum(increase(topup_ledger_set_aside_total[1d]))"),),
        ),
        Panel(
            title="Booked", unit="ops", stacked=True,
            queries=rate("topup_ledger_entries_total", "kind, result"),
        ),
        Panel(
            title="PostgreSQL", unit="s",
            queries=(
                slowest("topup_ledger_book_duration_seconds", "to book a batch"),
                slowest("topup_ledger_query_duration_seconds", "to answer a gateway"),
                slowest("topup_database_wait_duration_seconds", "to get a connection"),
            ),
            about="How long all but one in a hundred take.",
        ),
        Panel(
            title="Connections to PostgreSQL",
            queries=(
                Query("sum(topup_database_connections)", "open"),
                Query("sum(topup_database_connections_in_use)", "in use"),
                Query("sum(topup_database_waiters)", "wait for one"),
                Query("sum(topup_database_connections_max)", "at most"),
            ),
            about="Over all ledgers.",
        ),
    ),
)  # fmt: skip

STREAMS: Final = Row(
    "Streams",
    (
        Panel(
            title="Not read yet",
            queries=(
                Query("max by (stream, group) (topup_stream_unread_entries)",
                      "{{group}} of {{stream}}"),
            ),
        ),
        Panel(
            title="Read, not done",
            queries=(
                Query("max by (stream, group) (topup_stream_pending_entries)",
                      "{{group}} of {{stream}}"),
            ),
        ),
        Panel(
            title="Durable, writable, verified", kind="state-timeline", bad_below=1,
            queries=(
                Query("min(topup_streams_durable)", "durable"),
                Query("min(topup_streams_writable)", "writable"),
                Query("min(topup_streams_verified)", "verified"),
            ),
            about="Green: a crash of Valkey loses nothing that was accepted, it takes writes, and "
            "it has all that is in the books.",
        ),
        Panel(
            title="Memory", unit="bytes", width=12,
            queries=(
                Query("max(topup_streams_memory_used_bytes)", "used"),
                Query("max(topup_streams_memory_max_bytes)", "at most"),
            ),
        ),
        Panel(
            title="Disk", unit="bytes", width=12,
            queries=(
                Query("min(topup_streams_disk_free_bytes)", "free"),
                Query("min(topup_streams_disk_size_bytes)", "size"),
            ),
        ),
    ),
)  # fmt: skip

REPLICAS: Final = Row(
    "Replicas",
    (
        Panel(
            title="Answering", kind="state-timeline", bad_below=1, width=12,
            queries=(Query("up{job='topup'}", "{{instance}}"),), about="By Prometheus' own scrape.",
        ),
        Panel(
            title="Starts in 15 minutes", width=12,
            queries=(
                Query("changes(process_start_time_seconds{job='topup'}[15m])", "{{instance}}"),
            ),
            about="More than now and then is flapping.",
        ),
        Panel(
            title="Processors", unit="percentunit",
            queries=(
                Query(
                    "rate(process_cpu_seconds_total{job='topup'}[$__rate_interval])",
                    "{{instance}}",
                ),
            ),
            about="Of one processor; a replica can use one.",
        ),
        Panel(
            title="Memory of replicas", unit="bytes",
            queries=(Query("process_resident_memory_bytes{job='topup'}", "{{instance}}"),),
            about="As the kernel counts it.",
        ),
        Panel(
            title="Limits", unit="ops", stacked=True,
            queries=(
                *rate("topup_limit_checks_total", "verdict"),
                Query("sum(topup_limiter_fallback)", "gateways by themselves"),
            ),
        ),
    ),
)  # fmt: skip

ROWS: Final = (NOW, FLOW, PROVIDERS, MONEY, STREAMS, REPLICAS)
