"""What NATS refuses, and what the programs behind it do."""

from typing import Final

from tests.security.mutation import Mutation

BUS: Final = "tests/security/test_bus.py"
SCHEDULER: Final = "tests/services/scheduler/test_handlers.py"
IDENTITY: Final = "services/gateway/squall_gateway/identity.py"
RIGHTS: Final = "contracts/squall_contracts/rights.py"
GUESSED: Final = "guessed-ids-another"
WILDCARDS: Final = "subject-wildcards"
REPLIES: Final = "reading-replies-another"
GUEST: Final = "reading-another-function"
FORGED: Final = "forged-results"
SWEEPERS: Final = "tests/security/test_sweepers.py"
WRITTEN: Final = "inputs-records-user"
REPLAYED: Final = "replayed-inputs"
CONTAINER: Final = "container-only-admins"
RUNNER: Final = "runner-asks-credentials"
SERVICE: Final = "service-acts-runner"
FILES: Final = "reading-overhearing-files"
OF_SERVICES: Final = f"{BUS}::test_service_acts_as_no_runner_and_sees_no_tokens[cron]"
NEITHER: Final = f"{BUS}::test_runner_neither_poses_as_a_service_nor_commands_others"

MUTATIONS: Final = (
    Mutation(
        GUESSED,
        "what is asked for is looked for in the asker's account",
        "services/gateway/squall_gateway/handlers.py",
        "        if entry is None or entry.value.workspace != account:\n",
        "        if entry is None:\n",
        (f"{BUS}::test_guessed_ids_of_another_workspace_are_not_found",),
    ),
    Mutation(
        GUESSED,
        "the account is taken from the subject",
        IDENTITY,
        "        account = self._account(subjects.speaker(subject))\n",
        "        account = self._account(read_jwt(request.jwt).iss)\n",
        ("tests/services/gateway/test_identity.py::test_jwt_of_another_account_is_not_renewed",),
    ),
    Mutation(
        WILDCARDS,
        "lists of what may be subscribed to",
        RIGHTS,
        '    subscribe = [f"{subjects.inbox(owner)}.>", subjects.DOWN_LOCAL]\n',
        '    subscribe = [">", subjects.DOWN_LOCAL]\n',
        (f"{BUS}::test_wildcards_hear_nothing",),
    ),
    Mutation(
        REPLIES,
        "a key's own part of reply subjects",
        RIGHTS,
        '            f"reply.*.{own}.*.*",\n',
        '            "reply.>",\n',
        (f"{BUS}::test_replies_of_another_client_are_neither_heard_nor_read",),
    ),
    Mutation(
        REPLIES,
        "a key's own part of inboxes",
        RIGHTS,
        '    subscribe = [f"{subjects.inbox(owner)}.>", subjects.DOWN_LOCAL]\n',
        '    subscribe = [">", subjects.DOWN_LOCAL]\n',
        (f"{BUS}::test_replies_of_another_client_are_neither_heard_nor_read",),
    ),
    Mutation(
        REPLIES,
        "consumers named by their filter",
        RIGHTS,
        '        f"{api}.CONSUMER.CREATE.{stream}.*.reply.*.{own}.>",\n',
        '        f"{api}.CONSUMER.CREATE.{stream}.>",\n',
        (f"{BUS}::test_replies_of_another_client_are_neither_heard_nor_read",),
    ),
    Mutation(
        GUEST,
        "a guest has no consumer but its own",
        RIGHTS,
        '            f"$JS.API.CONSUMER.MSG.NEXT.{subjects.CALLS}.{durable}",\n',
        '            f"$JS.API.CONSUMER.MSG.NEXT.{subjects.CALLS}.*",\n',
        (f"{BUS}::test_guest_reads_no_results_and_no_other_functions_inputs",),
    ),
    Mutation(
        GUEST,
        "a guest reads no results",
        RIGHTS,
        '        *_reads(f"OBJ_{subjects.BLOBS_BUCKET}"),\n'
        '        *_reads(f"OBJ_{subjects.CODE_BUCKET}"),\n'
        "    ]\n    for lane",
        '        *_reads(f"OBJ_{subjects.BLOBS_BUCKET}"),\n        *_reads(subjects.RESULTS),\n'
        '        *_reads(f"OBJ_{subjects.CODE_BUCKET}"),\n'
        "    ]\n    for lane",
        (f"{BUS}::test_guest_reads_no_results_and_no_other_functions_inputs",),
    ),
    Mutation(
        FORGED,
        "ids that can't be guessed",
        "contracts/squall_contracts/message.py",
        "os.urandom(_ASKED)",
        '__import__("random").randbytes(_ASKED)',
        ("tests/contracts/test_messages.py::test_ids_can_not_be_foretold",),
    ),
    Mutation(
        FORGED,
        "only results of the subject's call count",
        "sdk/squall/_calling/results.py",
        "        if results.call_id == call_id:\n",
        "        if results.call_id:\n",
        (f"{BUS}::test_only_results_of_the_subjects_call_count",),
    ),
    Mutation(
        FORGED,
        "a call is cancelled where its results go",
        "services/gateway/squall_gateway/handlers.py",
        "        if request.reply_to and not access_subjects.is_reply("
        "request.reply_to, request.call_id):\n",
        "        if not access_subjects:\n",
        ("tests/services/gateway/test_api.py::test_cancel_that_names_anothers_subject_is_refused",),
    ),
    Mutation(
        FORGED,
        "none in other environments",
        RIGHTS,
        '        f"reply.{environment}.>",\n',
        '        "reply.>",\n',
        (f"{BUS}::test_guest_of_one_environment_answers_in_no_other",),
    ),
    Mutation(
        WRITTEN,
        "the gateway answers where results go alone",
        "services/gateway/squall_gateway/calls.py",
        '    if reply_to and not access_subjects.is_reply(reply_to, subject.split(".")[4]):\n',
        "    if not access_subjects:\n",
        (
            "tests/services/gateway/test_apps.py::test_input_that_wants_its_answer_elsewhere_gets_none",
        ),
    ),
    Mutation(
        WRITTEN,
        "the scheduler answers where results go alone",
        "services/scheduler/squall_scheduler/inputs.py",
        "    return access_subjects.is_reply(inputs.reply_to, inputs.call_id)\n",
        "    return bool(inputs.reply_to)\n",
        (f"{SCHEDULER}::test_an_input_that_can_not_be_answered_goes_and_harms_no_other",),
    ),
    Mutation(
        WRITTEN,
        "nothing that is no part of a subject",
        "contracts/squall_contracts/access_subjects.py",
        "        and all(map(_TOKEN.fullmatch, parts))\n",
        "",
        (f"{SCHEDULER}::test_an_input_that_can_not_be_answered_goes_and_harms_no_other",),
    ),
    Mutation(
        WRITTEN,
        "a record of user code is of its function's own acks",
        "services/scheduler/squall_scheduler/deaths.py",
        "    return acks and access_subjects",
        "    return access_subjects",
        (f"{SCHEDULER}::test_a_flight_record_can_not_reach_beyond_its_function",),
    ),
    Mutation(
        WRITTEN,
        "and of its call's results",
        "services/scheduler/squall_scheduler/deaths.py",
        "    return acks and access_subjects.is_reply(held.reply_to, held.call_id)\n",
        "    return acks\n",
        (f"{SCHEDULER}::test_a_flight_record_can_not_reach_beyond_its_function",),
    ),
    Mutation(
        WRITTEN,
        "who clears up volumes goes on with the next workspace",
        "services/gateway/squall_gateway/volume_sweeper.py",
        "            except Exception as error:",
        "            except BusError as error:",
        (f"{SWEEPERS}::test_no_volume_keeps_others_from_being_cleared_away",),
    ),
    Mutation(
        WRITTEN,
        "who clears up queues goes on with the next workspace",
        "services/gateway/squall_gateway/sweeper.py",
        "            except Exception as error:",
        "            except BusError as error:",
        (f"{SWEEPERS}::test_no_queue_keeps_others_from_being_cleared_away",),
    ),
    Mutation(
        REPLAYED,
        "message ids",
        "contracts/squall_bus/wire/base.py",
        '        return encode_headers({"Nats-Msg-Id": msg_id})\n',
        "        return None\n",
        (
            f"{BUS}::test_input_that_was_taken_is_there_for_nobody_again",
            "tests/bus/streams/test_acks.py::test_the_same_message_id_is_stored_once[real]",
        ),
    ),
    Mutation(
        REPLAYED,
        "a work queue",
        "contracts/squall_bus/layout.py",
        '        subjects=subjects.CALLS_SUBJECTS,\n        retention="workqueue",\n',
        "        subjects=subjects.CALLS_SUBJECTS,\n",
        (f"{BUS}::test_input_that_was_taken_is_there_for_nobody_again",),
    ),
    Mutation(
        CONTAINER,
        "`deploy` at most",
        "contracts/squall_contracts/scopes.py",
        'IN_CONTAINERS: Final[frozenset[Scope]] = frozenset({"deploy"})\n',
        'IN_CONTAINERS: Final[frozenset[Scope]] = frozenset({"admin"})\n',
        (f"{BUS}::test_code_in_a_container_does_what_deployers_may_and_not_what_admins_may",),
    ),
    Mutation(
        CONTAINER,
        "nothing when restricted",
        IDENTITY,
        "        scopes = frozenset[Scope]() if placed.restricted else IN_CONTAINERS\n",
        "        scopes = IN_CONTAINERS\n",
        (f"{BUS}::test_restricted_container_reaches_nothing_of_its_workspace",),
    ),
    Mutation(
        RUNNER,
        "the registry says what is placed where, for credentials",
        IDENTITY,
        "        if record is None or record.runner_id != runner_id or record.state in ENDED:\n",
        "        if record is None:\n",
        (f"{BUS}::test_runner_gets_credentials_for_its_own_containers_alone",),
    ),
    Mutation(
        RUNNER,
        "the registry says what is placed where, for secrets",
        "services/gateway/squall_gateway/opening.py",
        "        if record is None or record.runner_id != runner_id or not _may_open(record):\n",
        "        if record is None or not _may_open(record):\n",
        (f"{BUS}::test_runner_opens_secrets_of_its_own_containers_alone",),
    ),
    Mutation(
        RUNNER,
        "a subject for each runner's credentials",
        RIGHTS,
        "        access_subjects.mint_guest(runner_id),\n",
        "        access_subjects.MINT_GUEST_ALL,\n",
        (f"{BUS}::test_runner_gets_credentials_for_its_own_containers_alone",),
    ),
    Mutation(
        RUNNER,
        "a subject for each runner's secrets",
        RIGHTS,
        "        access_subjects.open_secrets(runner_id),\n",
        "        access_subjects.OPEN_SECRETS_ALL,\n",
        (f"{BUS}::test_runner_opens_secrets_of_its_own_containers_alone",),
    ),
    Mutation(
        RUNNER,
        "a subject for each runner's commands",
        RIGHTS,
        '        f"{api}.CONSUMER.MSG.NEXT.{stream}.{own}",\n        f"$JS.ACK.{stream}.{own}.>",\n',
        '        f"{api}.CONSUMER.MSG.NEXT.{stream}.*",\n        f"$JS.ACK.{stream}.{own}.>",\n',
        (NEITHER,),
    ),
    Mutation(
        RUNNER,
        "a runner is no other service",
        IDENTITY,
        '        if request.service != "runner":\n',
        "        if not request.service:\n",
        (NEITHER,),
    ),
    Mutation(
        SERVICE,
        "denied requests of runners",
        RIGHTS,
        "    never += [subject for subject, askers in _ASKERS.items() if service not in askers]\n",
        "",
        (OF_SERVICES,),
    ),
    Mutation(
        SERVICE,
        "denied reading of tokens",
        RIGHTS,
        '            never += _reads(f"KV_{bucket}")\n',
        "            never += []\n",
        (OF_SERVICES,),
    ),
    Mutation(
        SERVICE,
        "denied writing of what is others' to write",
        RIGHTS,
        '    never = [f"$KV.{bucket}.>" for bucket, writers in _WRITERS.items()'
        " if service not in writers]\n",
        "    never: list[str] = []\n",
        (OF_SERVICES,),
    ),
    Mutation(
        FILES,
        "the scope `deploy`",
        RIGHTS,
        "        publish += [*_calls(), *_reads_replies(own)]\n",
        "        publish += [*_calls(), *_reads_replies(own), sandbox_file_subjects.UP_FILES]\n",
        (f"{BUS}::test_files_of_containers_are_for_those_who_may_look_into_them",),
    ),
    Mutation(
        FILES,
        "the runner in the subject",
        RIGHTS,
        "        sandbox_file_subjects.file_requests_to(runner_id),\n",
        '        "up.*.files.>",\n',
        (f"{BUS}::test_runner_hears_no_file_requests_to_another",),
    ),
)
