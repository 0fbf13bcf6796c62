"""How systems like this one broke, and the tests here that each earned: published incident → test ids.

A test id is FILE::FUNCTION, or the name of an attack in `escapes/`. `test_incidents.py` checks that each exists and
holds the tests that only an incident explains. Not here: incidents of kinds of service that this is not.
"""

from __future__ import annotations

from typing import Dict, Tuple

# What broke there, in one line, then what proves that it doesn't here.
INCIDENTS: Dict[str, Tuple[str, Tuple[str, ...]]] = {
    "CVE-2024-28185 Judge0": (
        "the server wrote through a symlink that the job had planted",
        (
            "system/test_incidents.py::test_nothing_planted_is_followed",
            "system/test_end_to_end.py::test_no_link_is_followed",
            "system/test_end_to_end.py::test_no_pipe_can_be_planted",
            "make_fifo",
        ),
    ),
    "CVE-2024-28189 Judge0": (
        "a privileged chown followed a symlink of the job's",
        (
            "system/test_incidents.py::test_no_call_of_the_server_names_a_path_inside_a_run",
            "system/test_incidents.py::test_removing_a_tree_changes_nothing_outside",
        ),
    ),
    "CVE-2024-29021 Judge0": (
        "jobs reached the internal database over the network",
        (
            "system/test_incidents.py::test_a_run_does_not_reach_its_own_server",
            "tcp_connect",
            "udp_send",
            "raw_socket",
            "unix_socket_by_path",
            "abstract_socket_connect",
            "vsock_socket",
            "netlink_socket",
            "io_uring_setup",
        ),
    ),
    "CVE-2025-3466 Dify": (
        "user code ran before the sandbox was switched on",
        ("system/test_runs.py::test_no_user_byte_counts_before_the_door_is_closed",),
    ),
    "dify-sandbox #225, #242": (
        "all tenants shared one uid, and files on disk",
        (
            "system/test_runs.py::test_two_runs_at_once_do_not_see_each_other",
            "system/test_neighbours.py::test_two_runs_at_once",
        ),
    ),
    "CVE-2026-5752 Terrarium": (
        "objects of the host led back out",
        (
            "system/test_runs.py::test_descriptors_are_bounded_and_none_is_inherited",
            "system/test_neighbours.py::test_no_trace_in_all_memory_that_a_run_can_read",
        ),
    ),
    "CVE-2025-68668 n8n, CVE-2026-24002 Grist": (
        "an interpreter without a barrier below it",
        (
            "system/test_escapes.py::test_contained_as_a_public_script",
            "policy_ctypes_of_numpy",
            "policy_subclass_walk",
            "numpy_memory_read_file",
        ),
    ),
    "CVE-2026-25905, -25904 mcp-run-python": (
        "a run rewrote what serves the next one; loopback was open",
        (
            "system/test_runs.py::test_hostile_run_changes_no_later_run",
            "system/test_neighbours.py::test_a_hostile_run_and_then_a_clean_one_byte_for_byte",
            "write_memory_of_victim",
        ),
    ),
    "CVE-2026-25592 Semantic Kernel": (
        "a model's words named the host's file that a sandboxed run's file was written to",
        (
            "test_job.py::test_an_attachment_refuses_the_names_that_the_contract_refuses",
            "test_job.py::test_a_job_refuses_the_paths_that_the_contract_refuses",
            "test_job.py::test_a_path_that_gets_past_all_rules_is_written_nowhere_and_read_from_nowhere",
        ),
    ),
    "CVE-2026-0863 n8n": (
        "formats and exception objects got around source checks",
        (
            "policy_format_fields",
            "policy_exception_object",
            "policy_frame_of_a_generator",
            "policy_traceback_of_a_library",
        ),
    ),
    "CVE-2026-49444 n8n": (
        "the next escape of the same runner, five months later",
        (
            "system/test_incidents.py::test_every_change_replays_the_escapes",
            "system/test_escapes.py::test_contained_by_all_layers",
            "system/test_claims.py::test_every_danger_has_attacks_and_every_attack_a_danger",
        ),
    ),
    "CVE-2025-24359 asteval; CVE-2023-41039, CVE-2024-47532 RestrictedPython": (
        "`format`, `string` and `AttributeError.obj` gave protected objects away",
        (
            "system/test_incidents.py::test_formats_show_no_secret",
            "system/test_runs.py::test_admin_key_is_nowhere_in_a_runs_memory",
            "read_own_environ",
        ),
    ),
    "CVE-2023-37271, CVE-2025-22153 RestrictedPython": (
        "frames, and syntax newer than the checker",
        (
            "system/test_incidents.py::test_the_corpus_has_the_syntax_of_each_python",
            "policy_frame_of_a_generator",
            "policy_rebuilt_code",
        ),
    ),
    "CVE-2025-5120, CVE-2025-9959 smolagents": (
        "allowed modules gave the interpreter back",
        (
            "system/test_incidents.py::test_allowed_modules_lead_to_os_and_that_is_harmless",
            "policy_alias_in_the_library",
        ),
    ),
    "CVE-2023-44467 langchain": (
        "the fix of a hole was itself got around",
        ("system/test_incidents.py::test_attacks_come_in_families",),
    ),
    "CVE-2025-3248 Langflow": (
        "the check of a source executed it",
        (
            "system/test_incidents.py::test_hostile_sources_hurt_nobody",
            "api/test_request.py::test_ten_megabytes_of_digits_cost_no_time",
        ),
    ),
    "CVE-2025-66479 sandbox-runtime": (
        "an empty list meant no restriction",
        (
            "system/test_incidents.py::test_an_empty_list_of_modules_allows_none",
            "test_config.py::test_an_empty_list_is_empty_and_nothing_else",
            "test_config.py::test_any_text_is_an_error_or_means_what_it_says",
        ),
    ),
    "CVE-2024-21626 runc": (
        "a leaked descriptor, and a working directory outside",
        (
            "system/test_incidents.py::test_a_run_starts_in_its_directory_with_its_streams_only",
            "system/test_runs.py::test_descriptors_are_bounded_and_none_is_inherited",
            "proc_self_cwd",
            "parent_directory",
        ),
    ),
    "CVE-2017-5226 bubblewrap": (
        "TIOCSTI pushed keys into the parent's terminal",
        ("push_into_terminal", "open_terminal", "kernel/test_kernel.py::test_arguments_are_looked_at"),
    ),
    "CVE-2022-0185 Linux": (
        "a user namespace opened a hole of the kernel",
        (
            "new_user_namespace",
            "clone_user_namespace",
            "new_mount_namespace",
            "mount_tmpfs",
            "open_file_system",
            "bpf_program",
            "add_key",
            "read_keyring",
            "performance_counter",
            "page_fault_handler",
            "io_uring_setup",
            "ptrace_victim",
        ),
    ),
    "CVE-2023-37466 vm2": (
        "a barrier inside the language was called a security boundary",
        ("system/test_incidents.py::test_nothing_calls_the_list_of_modules_a_boundary",),
    ),
    "isolate 2.4 to 2.6": (
        "/dev/shm, io_uring and 32-bit system calls as side doors",
        ("shared_memory_file", "io_uring_setup", "i386_socket", "i386_open", "i386_getpid", "x32_socket"),
    ),
    "sandlock #112, #111": (
        "the supervisor followed paths of the guest outside its own rules",
        (
            "system/test_incidents.py::test_nothing_planted_is_followed",
            "system/test_incidents.py::test_no_call_of_the_server_names_a_path_inside_a_run",
        ),
    ),
    "snekbox's tests": (
        "sparse files, deep trees, odd names, unreadable modes",
        ("system/test_incidents.py::test_odd_trees_are_measured_collected_and_removed", "make_huge_file"),
    ),
    "hydra-sandbox, OpenShell #803, DB-GPT #3082, llm-sandbox #147": (
        "protection failed to load, and nobody was told",
        (
            "system/test_hosts.py::test_refuses_to_start_with_a_danger_uncovered",
            "system/test_hosts.py::test_refuses_to_start_without_an_expected_layer",
            "system/test_faults.py::test_no_script_runs_behind_a_layer_that_fails",
            "runs/test_zygotes.py::test_a_zygote_with_fewer_layers_than_the_one_before_is_refused",
        ),
    ),
    "codejail #239": (
        "RLIMIT_NPROC counts a uid over the whole host",
        ("system/test_runs.py::test_process_bombs_stay_small_and_neighbours_run_on",),
    ),
    "the seed: the key in /proc/self/environ": (
        "a public request read it there",
        ("system/test_incidents.py::test_the_key_is_not_in_proc", "read_own_environ"),
    ),
    'the seed: __import__("os") passed the check': (
        "and ran as root",
        (
            "child/test_import_policy.py::test_a_forbidden_import_in_every_spelling",
            "policy_closure_of_the_guard",
            "policy_alias_in_the_library",
        ),
    ),
    "the seed: a symlink in return_files": (
        "returned the host's password file",
        ("system/test_end_to_end.py::test_no_link_is_followed",),
    ),
    "the seed: a fresh X-Forwarded-For": (
        "reset both rate limits",
        (
            "system/test_incidents.py::test_a_fresh_forwarded_address_is_not_a_fresh_caller",
            "test_callers.py::test_whose_request_it_is",
        ),
    ),
    "the seed: a child that keeps stdout open": (
        "made a finished script a timeout",
        ("system/test_runs.py::test_output_held_open_by_a_grandchild_delays_no_answer",),
    ),
    # Complaints of their users.
    "llm-sandbox #147": (
        "the policy was there and never called",
        ("child/test_import_policy.py::test_a_forbidden_import_in_every_spelling",),
    ),
    "piston #487, pydantic-ai #2332": (
        "a job found what an earlier one had left",
        ("system/test_neighbours.py::test_two_runs_in_a_row",),
    ),
    "judge0 #543, sandlock #199": (
        "starts only with cgroups or rights that containers don't give",
        ("system/test_hosts.py::test_contract_holds",),
    ),
    "sandbox-runtime #74, typeclaw #1441": (
        "user namespaces blocked, and nothing noticed",
        (
            "system/test_hosts.py::test_contract_holds",
            "system/test_hosts.py::test_a_layer_of_which_a_part_is_refused_is_not_counted_on",
        ),
    ),
    "gvisor #13439": (
        "no Landlock there",
        (
            "system/test_hosts.py::test_contract_holds",
            "system/test_hosts.py::test_refuses_to_start_with_a_danger_uncovered",
        ),
    ),
    "dify-sandbox #171": (
        "the filter kills numpy on some builds",
        (
            "system/test_end_to_end.py::test_numpy",
            "system/test_end_to_end.py::test_a_pdf",
        ),
    ),
    "OpenBLAS #5520": (
        "a library loaded before the fork hangs after it",
        (
            "system/test_end_to_end.py::test_numpy",
            "system/test_neighbours.py::test_a_hostile_run_and_then_a_clean_one_byte_for_byte",
        ),
    ),
    "judge0 #108": (
        "no plots and no files back",
        (
            "system/test_end_to_end.py::test_a_photo_to_grayscale",
            "system/test_end_to_end.py::test_returning_a_written_file",
        ),
    ),
    "piston #301": (
        "a bare SIGKILL for much output",
        ("system/test_end_to_end.py::test_output_is_cut_at_its_limit_and_flagged",),
    ),
    "snekbox #81, SandboxFusion #62": (
        "the server's own memory filled with output",
        ("system/test_runs.py::test_a_flood_of_output_ends_the_run",),
    ),
    "snekbox #100": (
        "bytes that are no UTF-8 broke the answer",
        ("system/test_end_to_end.py::test_any_bytes_may_be_printed",),
    ),
    "sandbox-server #21, arapuca #70": (
        "grandchildren held the pipe open and outlived the run",
        (
            "system/test_runs.py::test_output_held_open_by_a_grandchild_delays_no_answer",
            "system/test_runs.py::test_no_process_outlives_its_run",
        ),
    ),
    "dify #24286, SandboxFusion #67": (
        "fails at ten parallel calls, or wedges until restarted",
        (
            "system/test_end_to_end.py::test_many_callers_at_once_are_each_answered",
            "prove/test_load.py::test_fifty_callers_at_five_slots_for_a_minute",
            "system/test_faults_of_service.py::test_memory_short_in_the_server",
        ),
    ),
    "cpython #108736": (
        "two writes an answer: 40 ms a kept connection",
        ("http1/test_http_raw.py::test_a_kept_connection_is_not_slow",),
    ),
    "piston #180": ("output lost at the deadline", ("system/test_end_to_end.py::test_a_script_that_takes_too_long",)),
}
