"""Every promise of reliability, and the tests that hold it: the table of `docs/reliability.md`.

A test is named by its file and its function; in brackets, where it is one of the tiny suites of
`probe_suites.py`, the suite. `test_reliability.py` sees to it that all of them are there.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """What happens, what holds then, and which tests show it."""

    what: str
    holds: str
    tests: tuple[str, ...]


def _row(what: str, holds: str, *tests: str) -> Row:
    return Row(what, holds, tests)


def _suites(*names: str) -> tuple[str, ...]:
    return tuple(
        f"test_run_suites.py::test_a_suite_is_what_it_is_without_recording[{name}]"
        for name in names
    )


_FAULTY = "test_guest_faults.py::test_no_fault_of_the_log_changes_what_any_suite_does"
_KILL = "test_kill_everywhere.py"
_HOSTILE = "test_archive_hostile.py"
_SAMPLE = "test_hostile_samples.py::test_a_hostile_sample_costs_little_and_ends_in_a_sentence"

RULES = (
    _row(
        "the log is full, fills up, is read-only, vanishes, is closed, is a broken pipe; no descriptor is left",
        "exit code, outcomes and terminal of forty suites are what they are without; one line on stderr",
        _FAULTY,
        "test_probe_faults.py::test_a_full_disk_is_one_line",
        "test_probe_faults.py::test_a_log_that_is_full_in_the_middle_keeps_its_whole_lines",
    ),
    _row(
        "a hook of ours fails",
        "it is caught; the first failure disarms, and is one line at the end",
        "test_guest_rules.py::test_every_hook_catches_what_goes_wrong_in_it",
        "test_guest_rules.py::test_a_defect_anywhere_in_the_probe_changes_nothing",
        "test_probe_faults.py::test_the_first_failure_disarms_for_good",
        "test_probe_faults.py::test_a_mistake_of_the_probe_itself_is_one_line",
        "test_run.py::test_whatever_goes_wrong_with_us_the_command_ends_as_it_ended",
    ),
    _row(
        "what a suite may notice",
        "no warning, no logging, no thread, no signal handler, no exit handler",
        "test_guest_rules.py::test_the_probe_imports_nothing_that_a_suite_may_notice",
        "test_import_order.py::test_the_probe_is_the_standard_library_and_pytest",
        *_suites("warnings_are_errors", "every_warning_is_shown"),
    ),
    _row(
        "a report is sent by a worker",
        "nothing is attached to it",
        "test_guest_rules.py::test_a_report_is_what_it_is_without_the_probe",
    ),
    _row(
        "a test patches the clock, `os`, `json`, `open`, the file system",
        "it is recorded all the same",
        *_suites("the_clock_is_patched", "freezegun", "everything_else_is_patched", "pyfakefs"),
    ),
    _row(
        "a test changes directory, environment, umask; closes or takes over descriptors",
        "the log goes on, and nobody else's file is written to",
        *_suites(
            "the_process_is_upset",
            "descriptors_are_closed",
            "the_descriptor_is_taken_over",
            "descriptors_have_the_same_numbers",
        ),
    ),
    _row(
        "a test forks, and the child falls through",
        "the child writes nothing",
        *_suites("forked_child_falls_through", "forked_child_that_exits"),
        "test_probe_log.py::test_another_process_writes_nothing",
    ),
    _row(
        "pytest inside pytest",
        "the inner one is not recorded in the outer bundle",
        *_suites("nested_in_the_process", "nested_in_a_process", "nested_in_a_worker"),
    ),
    _row(
        "output without end",
        "head and tail are kept, and what is gone is counted",
        "test_probe.py::test_of_huge_output_head_and_tail_are_kept",
        *_suites("huge_output", "a_message_without_end"),
    ),
)

SITUATIONS = (
    _row(
        "`os._exit(0)` in a test",
        "interrupted; that test unfinished; said loudly",
        *_suites("exits_hard_with_success"),
        "test_run.py::test_a_test_that_exits_the_process_with_0_is_told_loudly",
    ),
    _row(
        "killed, segmentation fault, abort",
        "the same, with the signal",
        *_suites("killed", "killed_while_setting_up", "segfault", "abort"),
        "test_run.py::test_a_child_that_dies_by_a_signal_is_a_death_by_that_signal",
    ),
    _row(
        "a worker of xdist dies",
        "crashed, with its worker",
        *_suites("worker_dies", "only_worker_dies_and_none_is_started_anew"),
        "test_probe.py::test_a_test_whose_worker_died_is_crashed_on_that_worker",
    ),
    _row(
        "Ctrl-C",
        "cancelled; the running test unfinished, not failed",
        *_suites("interrupted", "interrupts_itself"),
        "test_run.py::test_a_cancelled_run_says_so_and_its_test_is_unfinished_not_failed",
    ),
    _row(
        '`pytest.exit("", 7)`',
        "reason and code",
        *_suites("pytest_exit", "pytest_exit_with_success"),
    ),
    _row(
        "pytest-timeout, by thread or by signal",
        "timed out",
        *_suites("timeout_by_thread", "timeout_by_signal"),
    ),
    _row(
        "SystemExit or ImportError in the collection",
        "a collection that failed",
        *_suites("import_error", "system_exit_in_collection", "syntax_error"),
        "test_rerun_command.py::test_a_file_that_could_not_be_collected_is_run_once_it_can",
    ),
    _row(
        "a usage error",
        "recorded by the wrapper",
        *_suites("unknown_option", "conftest_fails"),
        "test_run.py::test_a_usage_error_of_pytest_is_recorded",
    ),
    _row("no tests", "a status of its own", *_suites("nothing_to_collect")),
    _row(
        "rerunfailures",
        "attempts; the last one counts; flaky",
        *_suites("reruns", "reruns_in_workers"),
        "test_probe.py::test_each_attempt_has_its_number_and_says_whether_another_follows",
    ),
    _row(
        "the teardown fails after a call that passed",
        "errored",
        *_suites("outcomes"),
        "test_probe.py::test_a_failure_in_call_and_in_teardown_are_both_kept",
    ),
    _row("xfail, xpass, strict", "xfailed, xpassed, failed", *_suites("outcomes")),
    _row(
        "subtests of pytest 9",
        "grouped under their test",
        *_suites("subtests", "subtests_are_rerun"),
        "test_probe.py::test_a_failed_subtest_is_grouped_under_its_test",
    ),
    _row("subTest of unittest", "a failed one fails its test", *_suites("unittest_subtests")),
    _row(
        "the same node id twice",
        "two occurrences",
        *_suites("the_same_file_twice", "the_same_file_twice_in_workers"),
    ),
    _row(
        "`-x`, `--maxfail`", "collected and never started: not run", *_suites("first_failure_stops")
    ),
    _row("odd ids", "opaque text", *_suites("odd_ids", "ids_too_long_for_a_line")),
    _row(
        "`-s`, `--capture`",
        "the way of capturing is recorded",
        "test_probe.py::test_the_way_of_capturing_is_recorded",
        *_suites("output_not_captured", "output_captured_in_python", "output_captured_and_shown"),
    ),
)

FAULTS = (
    _row(
        "SIGKILL at the k-th line, every k",
        "k−1 whole lines, at most one torn; interrupted; the running test named; a rerun includes it and what never started",
        "test_killed_recordings.py::test_killed_at_any_line_of_the_probe_the_lines_before_it_are_there",
        "test_killed_recordings.py::test_killed_by_the_kernel_at_any_line_of_the_probe_it_is_the_same",
        f"{_KILL}::test_a_recorder_that_is_killed_leaves_every_event_it_wrote",
        "test_run.py::test_a_killed_process_group_leaves_a_bundle_that_names_the_running_test",
    ),
    _row(
        "SIGKILL at every open, write, fsync, rename, unlink, mkdir, flock of seal, pack, add, prune",
        "the old state or the new",
        f"{_KILL}::test_sealing_loses_no_event",
        f"{_KILL}::test_packing_writes_a_whole_file_or_none",
        f"{_KILL}::test_adding_takes_a_run_in_whole_or_not_at_all",
        f"{_KILL}::test_pruning_deletes_a_run_whole_or_not_at_all",
    ),
    _row(
        "ENOSPC, EIO, EROFS, EACCES, EMFILE, ESTALE at each of them",
        "the command ends as ever; one line; the store is usable",
        f"{_KILL}::test_recording_that_the_disk_refuses_changes_nothing_for_the_command",
        f"{_KILL}::test_sealing_loses_no_event",
    ),
    _row(
        "a full disk, no inodes, a limit of file sizes, a read-only store",
        "the same; a read-only store is read as ever",
        "test_bad_input.py::test_a_disk_that_fills_while_recording_changes_nothing_for_the_suite",
        "test_odd_places.py::test_a_store_without_inodes_is_one_line_and_the_suite_runs",
        "test_odd_places.py::test_a_file_size_limit_is_one_line_and_the_suite_runs",
        "test_bad_input.py::test_a_read_only_store_records_nothing_and_the_suite_runs_as_ever",
        "test_bad_input.py::test_a_read_only_store_is_read_as_ever",
    ),
    _row(
        "power loss at every touch of the disk",
        "what was sealed is whole; the live log is readable; nothing that was reported is lost",
        "test_power_loss.py::test_what_was_sealed_before_stays_and_what_is_sealed_now_is_whole",
        "test_power_loss.py::test_a_file_that_was_packed_is_whole_or_not_there",
        "test_power_loss.py::test_a_run_that_was_added_is_whole_or_not_there",
        "test_power_loss.py::test_a_run_that_was_recorded_is_whole_and_one_that_was_not_is_readable",
    ),
    _row(
        "SIGINT, SIGTERM, SIGHUP, SIGKILL at random, twice",
        "passed on; cancelled or interrupted; what was shown is recorded",
        "test_interruptions.py::test_whenever_a_run_is_interrupted_what_was_shown_is_recorded",
        "test_interruptions.py::test_whatever_command_is_interrupted_says_nothing_and_breaks_nothing",
        "test_first_screen.py::test_an_interrupt_that_a_library_turns_into_an_error_is_still_one",
        "test_action.py::test_a_job_that_is_cancelled_uploads_a_sealed_bundle",
    ),
    _row(
        "twenty recorders at once",
        "twenty runs",
        "test_interruptions.py::test_twenty_recorders_that_start_at_once_are_twenty_runs",
    ),
    _row(
        "prune beside record beside replay",
        "a live run stays; a replay gets its data or a clean error",
        "test_interruptions.py::test_a_prune_beside_recorders_and_replays_takes_nothing_from_them",
        "test_pruning.py::test_a_live_run_stays",
    ),
    _row(
        "the clock goes back, or ten years ahead",
        "durations from the monotonic clock; order by sequence; neither everything nor nothing is pruned",
        "test_odd_places.py::test_a_wall_clock_that_jumps_back_leaves_durations_alone",
        "test_retention.py::test_a_clock_ten_years_ahead_deletes_no_more_than_a_week_would",
        "test_retention.py::test_a_clock_ten_years_behind_still_deletes_what_is_old",
        "test_tree.py::test_order_is_by_sequence_and_not_by_the_clock",
    ),
    _row(
        "every byte of a bundle changed or cut",
        "an error, or what is left with what is wrong named; never a better verdict",
        "test_damaged_bundle.py::test_any_byte_of_any_member_may_be_wrong",
        "test_damaged_bundle.py::test_any_byte_of_a_packed_bundle_may_be_wrong",
        "test_damaged_bundle.py::test_any_byte_of_a_live_log_may_be_wrong",
        "test_archive_fuzz.py::test_every_flipped_byte_is_seen_or_means_nothing",
    ),
    _row(
        "any members missing",
        "a defined status, and what is missing named",
        "test_damaged_bundle.py::test_any_members_may_be_missing",
    ),
    _row(
        "stdout closed; a reader that leaves",
        "quiet",
        "test_first_screen.py::test_a_reader_that_left_is_no_error",
        "test_first_screen.py::test_a_command_runs_as_ever_where_all_streams_are_closed",
        "test_terminal.py::test_a_reader_that_stops_ends_it_quietly",
    ),
    _row(
        "no HOME; the store a file; a path that is not UTF-8; the working directory gone",
        "one clear sentence; the command runs",
        "test_odd_places.py::test_without_a_home_it_records_where_the_system_says_or_says_why_not",
        "test_odd_places.py::test_a_store_below_a_file_is_one_line_and_the_suite_runs",
        "test_odd_places.py::test_a_path_that_is_no_utf_8_is_recorded_and_read",
        "test_first_screen.py::test_a_command_runs_as_ever_where_the_working_directory_is_gone",
    ),
)

HOSTILE = (
    _row("a zip with overlapping entries, a name twice, junk, two archives in one, names that are one on some systems, headers that disagree", "refused",
         f"{_HOSTILE}::test_overlapping_entries_are_refused", f"{_HOSTILE}::test_a_name_twice_is_refused", f"{_HOSTILE}::test_junk_between_entries_is_refused", f"{_HOSTILE}::test_two_archives_in_a_row_are_refused",
         f"{_HOSTILE}::test_names_that_are_one_on_some_file_systems_are_refused", f"{_HOSTILE}::test_a_local_header_that_disagrees_is_refused"),
    _row("`../x`, `/abs`, `C:x`, `a\\b`, NUL, an empty name; a link, a pipe, a device", "refused by name; never followed, never waited for",
         f"{_HOSTILE}::test_a_name_that_could_lead_elsewhere_is_refused", f"{_HOSTILE}::test_a_symlink_below_a_directory_is_refused", f"{_HOSTILE}::test_a_fifo_is_refused_and_never_waited_for", f"{_HOSTILE}::test_a_device_is_refused", "test_bundle.py::test_looking_opens_nothing_for_writing", "test_bundle.py::test_packing_takes_nothing_from_behind_a_folder_that_became_a_link"),
    _row("more entries, bytes or ratio than a limit; a size that lies", "a hard stop; the limit is named and can be raised by a flag",
         f"{_HOSTILE}::test_too_many_entries_are_refused", f"{_HOSTILE}::test_a_member_that_unpacks_to_more_than_it_declares_is_refused", "test_archive_cost.py::test_ten_gib_of_zeros_are_refused", "test_bad_input.py::test_a_limit_is_named_and_can_be_set_by_a_flag"),
    _row("a zip in a zip", "one level, on the same budget", f"{_HOSTILE}::test_an_archive_in_an_archive_in_an_archive_is_refused", f"{_HOSTILE}::test_a_nested_archive_is_on_the_same_budget"),
    _row("zstd with a wide window, a huge declared size, a dictionary, a cut frame", "refused, or read as far as it goes",
         f"{_HOSTILE}::test_a_zstd_window_over_the_limit_is_refused", f"{_HOSTILE}::test_a_zstd_frame_that_needs_a_dictionary_is_refused", f"{_HOSTILE}::test_a_cut_zstd_frame_is_damaged", "test_eventlog.py::test_a_large_window_is_refused"),
    _row("a line of 3 GiB; lines without end; any hostile sample", "under 256 MiB and five seconds; one sentence and exit code 3", _SAMPLE, "test_beside_nextest.py::test_a_line_without_end", "test_eventlog.py::test_a_line_over_the_limit_is_named_and_the_next_keeps_its_place"),
    _row("a few bytes that stand for a million tests, attempts, messages", "what is kept in memory is counted by the size of the log; a hard stop, named", "test_holding.py::test_whatever_is_kept_of_a_log_counts", "test_holding.py::test_an_attempt_is_found_by_its_number_alone", _SAMPLE),
    _row("text made to be slow for patterns: filters, panics, tokens", "one pass", "test_patterns.py::test_a_filter_reads_an_id_once", "test_patterns.py::test_a_panic_is_looked_for_once_in_a_line", "test_patterns.py::test_what_only_begins_like_a_token_costs_no_time"),
    _row("a number of our own log that is text, a list, or beyond 64 bits", "as a damaged line", "test_own_types.py::test_no_type_of_a_field_makes_an_error"),
    _row("JSON with NaN, 1e999, 5000 digits, a key twice, deep nesting, invalid UTF-8, a byte order mark, lone surrogates", "no traceback; the line is counted, named and passed over; only a newline ends a line",
         _SAMPLE, "test_documents.py::test_what_is_no_json_is_damage", "test_documents.py::test_a_key_twice_in_one_object_is_refused", "test_documents.py::test_nesting_over_64_levels_is_refused", "test_eventlog.py::test_only_a_newline_ends_a_line"),
    _row("a member missing, extra, or with another digest", "said; the rest is replayed", "test_verification.py::test_a_missing_member_is_named", "test_verification.py::test_a_member_that_is_not_in_the_manifest_is_named", "test_bundle.py::test_a_member_with_another_digest_is_said_and_the_rest_is_read"),
    _row("another major version", "refused, naming the cure", "test_bad_input.py::test_a_newer_major_names_the_version_that_reads_it"),
    _row("orders for the terminal in output, ids, messages; workflow commands", "colour passes on a terminal, everything else is shown; in CI a workflow command is none",
         "test_terminal_escapes.py::test_with_colour_styles_are_all_that_passes", "test_terminal_escapes.py::test_in_ci_a_workflow_command_is_none", "test_replay.py::test_nothing_a_stranger_wrote_gives_an_order", "test_beside_nextest.py::test_orders_for_the_terminal"),
    _row("ids and options at a rerun", "an id is only matched; only listed options come back", "test_probe_selection.py::test_ids_that_look_like_something_else_are_only_matched", "test_rerun_scope.py::test_nothing_of_a_hostile_command_comes_back_but_words_of_the_grammar", "test_rerun_command.py::test_a_strangers_options_come_back_only_from_the_list"),
    _row("JUnit with control characters, `]]>`", "always parses, always fits the schema", "test_junit_schema.py::test_the_document_always_parses", "test_junit_schema.py::test_the_jenkins_dialect_always_fits_the_schema", "test_junit.py::test_what_xml_cannot_hold_is_shown"),
    _row("HTML with markup in any field", "there is none: no format is HTML, and what a job's summary shows is text in a block", "test_export.py::test_no_format_is_html", "test_action.py::test_nothing_of_a_stranger_is_markup_in_the_summary"),
    _row("XML on the way in", "no DTD, no external entity", "test_junit_reader.py::test_a_hostile_document_is_refused", _SAMPLE),
    _row("any bytes for any reader", "only errors of ours", "test_every_reader.py::test_no_change_of_bytes_makes_another_error_than_ours", "test_every_reader.py::test_no_type_of_a_field_makes_another_error_than_ours", "test_archive_fuzz.py::test_any_bytes_at_all_raise_nothing_but_our_errors", "test_trace.py::test_no_bit_of_a_trace_brings_down_its_reader"),
)  # fmt: skip

SECTIONS = {
    "The guest never breaks the host": RULES,
    "What happens to a test run, and what is recorded": SITUATIONS,
    "Faults": FAULTS,
    "Hostile and broken input": HOSTILE,
}
