"""The fault matrix, clause by clause: what goes wrong, what must come of it, and the tests that hold it.

Tests are named ``file::test`` under ``tests/``; where a real process, socket or disk is needed they stand elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Clause:
    """One clause of the matrix."""

    section: str
    fault: str
    expected: str
    tests: tuple[str, ...]


def _section(section: str, file: str, *rows: tuple[str, str, str]) -> tuple[Clause, ...]:
    """Rows of (fault, expected, tests separated by spaces); a test without a file stands in ``matrix/<file>.py``."""

    def full(name: str) -> str:
        return name if "::" in name else f"matrix/{file}.py::test_{name}"

    return tuple(Clause(section, f, e, tuple(full(name) for name in tests.split())) for f, e, tests in rows)


MATRIX: tuple[Clause, ...] = (
    *_section(
        "fills",
        "test_fills",
        (
            "entry partly filled",
            "a stop at once for what is filled, targets planned anew, the remainder cancelled on timeout",
            "a_partly_filled_entry_has_a_stop_at_once_and_its_remainder_is_cancelled",
        ),
        (
            "target partly filled",
            "the stop's quantity follows only under a proven new stop",
            "a_partly_filled_target_moves_the_stops_quantity_under_a_proven_new_one "
            "the_old_stop_stays_while_the_new_one_is_lost",
        ),
        ("target and stop both hit", "reduce-only caps at zero", "target_and_stop_in_one_second_cap_at_zero"),
        ("a gap through both", "the second leg's expiry is normal", "a_gap_through_targets_and_stop_caps_at_zero"),
        (
            "rounding leaves dust",
            "planned up front, the last target takes the remainder",
            "dust_is_planned_up_front_and_closed_to_the_last_step",
        ),
        (
            "a remainder below the minimum",
            "covered, closed as the minimum; refused: owned, shown, growing pauses",
            "core/test_retry.py::test_i18_a_remainder_below_the_minimum_is_covered_and_closed_by_the_smallest_order "
            "core/test_retry.py::"
            "test_i18_a_remainder_that_the_venue_refuses_to_close_is_owned_shown_and_tried_in_growing_pauses",
        ),
        ("stop fills partly", "flatten in a loop", "a_stop_that_fills_in_part_is_followed_by_closing_in_a_loop"),
        (
            "fill larger than ordered",
            "the venue wins, alarm, reduce",
            "a_fill_larger_than_ordered_is_taken_told_and_reduced",
        ),
    ),
    *_section(
        "submission",
        "test_submission",
        (
            "request lost",
            "asked about through its window, the same id again, never two",
            "a_lost_request_is_asked_about_and_never_doubled "
            "an_entry_that_arrives_late_within_its_window_is_never_doubled",
        ),
        (
            "accepted, answer lost",
            "unknown, query the same id",
            "accepted_but_answer_lost_is_queried_under_the_same_id",
        ),
        ("timeout", "unknown, query the same id", "a_timeout_is_queried_under_the_same_id"),
        ("-1006", "unknown, query the same id", "minus_1006_is_queried_under_the_same_id"),
        ("-1007", "unknown, query the same id", "minus_1007_is_queried_under_the_same_id"),
        ("503 unknown error", "unknown, query the same id", "a_503_unknown_error_is_queried_under_the_same_id"),
        ("reset after send", "unknown, query the same id", "a_reset_after_the_send_is_queried_under_the_same_id"),
        (
            "another 503",
            "failed; the same id again; a stop that meets nothing else costs the position in time",
            "another_503_means_failed_and_is_never_doubled "
            "a_stop_that_meets_an_overload_at_each_try_costs_the_position_within_ten_seconds",
        ),
        (
            "duplicate id",
            "it exists: query",
            "a_duplicate_id_means_that_it_exists requests_that_arrive_twice_leave_one_stop",
        ),
        (
            "event before the retry timer",
            "the retry is cancelled",
            "an_event_before_the_retry_timer_cancels_the_retry",
        ),
        ("event before the answer", "merged by client id", "an_event_before_the_answer_is_merged"),
        ("events out of order", "merged", "events_out_of_order_are_merged"),
        ("events twice", "counted once", "events_told_twice_count_once"),
        ("events minutes late", "change nothing", "events_minutes_late_change_nothing"),
        (
            "-2013 for a live order",
            "stays unknown; both books and the position decide",
            "not_found_for_a_live_order_leaves_it_unknown",
        ),
    ),
    *_section(
        "stops",
        "test_stops",
        (
            "would trigger at once (-2021, -4142)",
            "flatten now",
            "a_stop_that_would_trigger_at_once_flattens_now "
            "a_moved_stop_that_would_trigger_never_bares_the_position targets_rest_only_under_a_stop",
        ),
        ("-4509", "retry within a second", "minus_4509_is_tried_again_within_a_second"),
        (
            "-4509 for ever",
            "else flatten",
            "minus_4509_for_ever_flattens a_stop_that_never_arrives_flattens",
        ),
        (
            "rejected or expired at the trigger",
            "unprotected: replace or flatten",
            "a_stop_rejected_or_expired_at_its_trigger_flattens an_acknowledged_stop_that_is_not_there_is_replaced",
        ),
        ("stuck triggering", "after 2 s unprotected: flatten", "a_stop_stuck_in_triggering_flattens"),
        ("cancelled by the venue or a person", "replaced once", "a_cancelled_stop_is_replaced_once"),
        ("cancelled again", "flatten and halt", "a_stop_cancelled_again_flattens_and_halts"),
        (
            "reduce-only refused while targets rest (-2022, -4118)",
            "cancel targets, retry",
            "a_reduce_only_refusal_of_the_close_is_tried_again_without_targets "
            "a_reduce_only_refusal_beside_targets_makes_them_go_and_come_back",
        ),
        (
            "cap of conditional orders near",
            "refuse the entry, not the stop",
            "near_the_cap_of_conditional_orders_the_entry_is_refused a_stop_refused_for_the_cap_flattens",
        ),
        (
            "-4130",
            "a quantity stop bridges the move",
            "a_close_position_stop_in_the_way_bares_nothing",
        ),
    ),
    *_section(
        "cancels",
        "test_cancels",
        (
            "refused because filled (-2011)",
            "the success path: the fills are fetched",
            "a_cancel_refused_because_filled_is_a_position",
        ),
        ("answer lost", "query", "a_cancel_without_an_answer_is_asked_about_and_said_again"),
        ("orders that are not ours", "never cancelled", "orders_that_are_not_ours_stay"),
        ("all", "means both books", "all_means_both_books"),
        ("flatten", "always in its order", "flattening_keeps_its_order"),
    ),
    *_section(
        "outside",
        "test_outside",
        (
            "closed elsewhere",
            "the venue wins, never reopened",
            "closed_elsewhere_clears_the_legs_and_never_reopens",
        ),
        ("reduced elsewhere", "the plan shrinks", "reduced_elsewhere_shrinks_the_plan"),
        (
            "opened elsewhere",
            "adopted and covered at once",
            "opened_elsewhere_is_adopted_and_covered_within_two_seconds",
        ),
        (
            "increased elsewhere",
            "the venue wins, all of it covered",
            "increased_elsewhere_is_covered the_venue_wins_over_what_was_counted",
        ),
        (
            "liquidation",
            "booked to the venue, legs cleared, symbol halted",
            "a_liquidation_is_booked_to_the_venue_and_halts_the_symbol",
        ),
        (
            "ADL",
            "booked to the venue, legs fitted, symbol halted",
            "a_deleveraging_is_booked_to_the_venue_and_halts_the_symbol",
        ),
        ("hedge mode (-4061)", "refused", "hedge_mode_is_refused"),
        (
            "symbol settling",
            "no entries, exit early",
            "a_settling_symbol_takes_no_entries a_settling_symbol_is_left_early",
        ),
        ("symbol close-only", "no entries", "a_close_only_symbol_takes_no_entries"),
        ("funding", "a ledger row, not drift", "funding_is_a_row_of_the_ledger"),
        (
            "maintenance, 25 min of 5xx",
            "blind, bounded backoff, reconcile first",
            "25_minutes_of_5xx_are_waited_out_blind",
        ),
    ),
    *_section(
        "streams",
        "test_streams",
        (
            "disconnect",
            "snapshot of orders, fills since the cursor, position; then resume",
            "after_a_disconnect_a_snapshot_comes_before_trading after_a_disconnect_both_books_are_compared",
        ),
        (
            "socket open but silent",
            "staleness found by the application: blind",
            "an_open_but_silent_socket_bares_nothing a_silent_book_makes_blind",
        ),
        (
            "listenKey expired",
            "renewed and compared",
            "an_expired_listen_key_is_renewed_and_the_account_compared",
        ),
        ("book gap", "discarded, new snapshot, not traded on", "a_book_gap_is_not_traded_on"),
        ("book stale", "not traded on", "a_stale_book_is_not_traded_on"),
        ("book crossed", "discarded, not traded on", "a_crossed_book_is_not_traded_on"),
        ("garbage bytes", "dropped; never a crash, never a trade", "garbage_and_truncated_frames_are_dropped"),
        ("truncated JSON", "dropped or asked again", "garbage_and_truncated_answers_are_found_out"),
        ("64 MiB frame", "the connection is closed", "a_64_mib_frame_closes_the_connection_alone"),
        (
            "deep nesting, unknown event, non-ASCII symbol",
            "dropped; never a trade",
            "nesting_unknown_events_and_impossible_symbols_are_dropped",
        ),
        ("429", "Retry-After obeyed", "a_429_is_obeyed"),
        ("418", "Retry-After obeyed", "a_418_is_obeyed"),
        ("403", "Retry-After obeyed", "a_403_is_obeyed"),
    ),
    *_section(
        "clock",
        "test_clock",
        (
            "skew above 500 ms",
            "no entries",
            "a_skew_above_half_a_second_takes_no_entries a_drift_is_followed",
        ),
        ("step", "offset from the server's time", "a_step_is_mended_from_the_servers_time"),
        ("-1021", "the same id again", "minus_1021_is_mended_and_the_same_id_sent_again"),
        (
            "sleep, SIGSTOP",
            "blind, stale signals dropped, reconcile",
            "runtime/test_process_faults.py::test_stopped_and_continued_it_is_blind_compares_and_goes_on "
            "runtime/test_wake.py::test_after_a_standstill_no_entries_until_the_account_was_compared_anew",
        ),
    ),
    *_section(
        "process",
        "test_process",
        (
            "crash between entry fill and stop",
            "protected or flattened before strategies run",
            "a_crash_between_fill_and_stop_is_protected_at_the_start "
            "a_crash_with_the_entry_on_its_way_is_never_doubled a_crash_while_a_stop_is_replaced_bares_nothing "
            "a_crash_while_flattening_ends_flat_or_protected a_crash_after_the_kill_switch_starts_killed "
            "two_crashes_in_a_row_end_protected nothing_is_done_before_the_first_comparison "
            "a_lagging_word_of_flat_at_the_start_takes_no_stop_away",
        ),
        (
            "SIGKILL at every journal point",
            "protected or flat, nothing lost, doubled or orphaned",
            "drill/test_crash_points.py::test_i14_a_kill_at_an_effect_ends_protected_or_flat "
            "runtime/test_kills.py::test_killed_again_and_again_nothing_is_lost_doubled_or_left_bare",
        ),
        (
            "SIGTERM",
            "no entries, left protected, within 5 s",
            "runtime/test_process_faults.py::test_terminated_with_a_dead_venue_it_ends_in_time_and_says_what_it_left "
            "runtime/test_process.py::test_killed_restarted_refused_taken_over_terminated",
        ),
        (
            "terminal closed, SSH dropped",
            "the engine trades on",
            "runtime/test_process.py::test_the_terminal_closes_and_the_session_trades_on",
        ),
        (
            "second instance",
            "refused",
            "runtime/test_process_faults.py::"
            "test_a_second_is_refused_and_one_that_hangs_is_not_taken_over_but_survived",
        ),
        (
            "store full",
            "no entries, exits through the emergency log, clear words",
            "runtime/test_store_faults.py::test_a_full_disk_while_a_position_is_open_and_at_the_next_start "
            "store/test_opening.py::test_a_disk_that_fills_up_and_is_mended",
        ),
        (
            "store read-only",
            "no entries, exits through the emergency log, clear words",
            "runtime/test_store_faults.py::test_a_store_that_fails_refuses_entries_lets_exits_go_and_recovers "
            "store/test_opening.py::test_a_read_only_file_and_folder_are_read_and_exits_go_on",
        ),
        (
            "store locked",
            "no entries, exits through the emergency log, clear words",
            "store/test_journal.py::test_a_locked_store_refuses_entries_saves_exits_and_recovers",
        ),
        (
            "store corrupt",
            "put aside whole; protects and waits for a person",
            "runtime/test_store_faults.py::test_a_damaged_store_at_the_start_still_protects_and_waits_for_a_person "
            "store/test_opening.py::test_a_damaged_store_is_put_aside_whole_and_a_new_one_begun",
        ),
        (
            "store older",
            "brought up, goes on",
            "runtime/test_store_faults.py::test_a_store_of_an_older_version_is_brought_up_and_goes_on",
        ),
        (
            "store restored from a backup",
            "noticed, no id used again, what happened since is learnt",
            "runtime/test_store_faults.py::"
            "test_a_backup_of_an_hour_ago_reuses_no_id_and_learns_of_what_happened_since "
            "store/test_opening.py::test_a_store_restored_from_a_backup_is_noticed_and_reuses_no_id",
        ),
    ),
    *_section(
        "venue changes",
        "test_venue_changes",
        (
            "a canary probes each order type at the start",
            "what the venue refuses is said, nothing is entered",
            "a_canary_that_finds_the_venue_changed_takes_no_entries",
        ),
        ("an unknown error on a stop", "flatten", "an_unknown_error_on_a_stop_flattens"),
        (
            "after it",
            "no entries",
            "after_an_unknown_error_on_a_stop_nothing_is_entered",
        ),
    ),
)
