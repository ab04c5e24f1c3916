"""What comes from outside: pickles, paths, secrets, requests, certificates, and ever more of all."""

from typing import Final

from tests.security.mutation import Mutation

SERVICES: Final = "tests/security/test_services.py"
VOLUMES: Final = "tests/security/test_volumes.py"
BUS: Final = "tests/security/test_bus.py"
QUOTAS: Final = "tests/security/test_quotas.py"
MOUNTS: Final = "tests/services/gateway/test_mounts.py"
SECRETS: Final = "tests/services/runner/test_secrets.py"
PASSED: Final = "tests/services/gateway/test_passes.py"
TLS: Final = "tests/bus/test_tls.py"
PLACING: Final = "tests/services/scheduler/test_properties.py"
CONNECTED: Final = (
    "tests/system/test_sandbox_connect.py"
    "::test_token_opens_one_port_of_one_sandbox_while_that_lives[process]"
)
CONNECTING: Final = "services/gateway/squall_gateway/sandboxes/connecting.py"
PASSES: Final = "services/gateway/squall_gateway/sandboxes/passes.py"
VALIDATION: Final = "services/gateway/squall_gateway/validation.py"
MOUNTED: Final = "services/gateway/squall_gateway/mounts.py"
LIMITS: Final = "services/gateway/squall_gateway/access/accounts.py"
HOSTS: Final = f"{SERVICES}::test_strange_host_finds_nothing"

PICKLES: Final = "malicious-pickles-aimed"
PATHS: Final = "path-traversal-also"
PASS: Final = "connect-token-another"
SEALED: Final = "secrets-logs-files"
HTTP: Final = "http-request-smuggling"
POSING: Final = "server-poses-ours"
USED_UP: Final = "workspace-uses-everything"

MUTATIONS: Final = (
    Mutation(
        PICKLES,
        "no service imports an unpickler",
        "services/gateway/squall_gateway/handlers.py",
        "import asyncio\nimport time\n",
        "import asyncio\nimport pickle\nimport time\n",
        (f"{SERVICES}::test_services_never_unpickle",),
    ),
    Mutation(
        PATHS,
        "files of functions, at the gateway",
        VALIDATION,
        '        if not file.path.startswith("/") or ".." in file.path.split("/")'
        ' or "\\0" in file.path:\n',
        "        if not file.path:\n",
        (f"{MOUNTS}::test_file_that_would_lie_elsewhere_is_refused",),
    ),
    Mutation(
        PATHS,
        "files of functions, at the runner",
        "services/runner/squall_runner/files.py",
        '    if not path.startswith("/") or posixpath.normpath(path) != path or path == "/"'
        ' or "\\0" in path:\n',
        "    if not path:\n",
        ("tests/services/runner/test_parts.py::test_paths_that_lead_elsewhere_are_refused",),
    ),
    Mutation(
        PATHS,
        "files of images",
        "services/builder/squall_builder/core.py",
        '        if file.path.startswith("/") or ".." in file.path.split("/"):\n',
        "        if not file.path:\n",
        (
            "tests/services/builder/test_core.py"
            "::test_a_context_file_that_leaves_the_context_is_refused",
        ),
    ),
    Mutation(
        PATHS,
        "files of images without Docker",
        "services/builder/squall_builder/venv.py",
        '            if ".." in file.path.split("/"):\n',
        "            if not file.path:\n",
        ("tests/services/builder/test_venv.py::test_a_file_that_leaves_the_image_is_refused",),
    ),
    Mutation(
        PATHS,
        "ids of volumes",
        MOUNTED,
        "        if not _VOLUME.fullmatch(volume.volume_id):\n",
        "        if not volume.volume_id:\n",
        (f"{MOUNTS}::test_volume_that_could_reach_elsewhere_is_refused",),
    ),
    Mutation(
        PATHS,
        "parts of volumes",
        MOUNTED,
        '        if volume.sub_path and {"", ".", ".."} & set(volume.sub_path.split("/")):\n',
        "        if volume is None:\n",
        (f"{MOUNTS}::test_volume_that_could_reach_elsewhere_is_refused",),
    ),
    Mutation(
        PATHS,
        "paths clients give",
        "contracts/squall_volumes/paths.py",
        '    if ".." in parts:\n',
        "    if parts is None:\n",
        ("tests/volumes/test_core.py::test_path_that_leads_elsewhere_is_refused",),
    ),
    Mutation(
        PATHS,
        "links in volumes",
        "contracts/squall_volumes/core.py",
        "            if not parts:\n                return None\n            parts.pop()\n",
        "            parts = parts[:-1]\n",
        ("tests/volumes/test_core.py::test_a_link_out_of_the_volume_is_not_followed",),
    ),
    Mutation(
        PATHS,
        "paths in a volume's state, when it is read",
        "contracts/squall_volumes/model.py",
        "        if _ASTRAY.search(path):\n",
        "        if path is None:\n",
        (f"{VOLUMES}::test_manifest_makes_no_file_outside_its_volume",),
    ),
    Mutation(
        PATHS,
        "paths in a volume's state, when files are made",
        "contracts/squall_volumes/beneath.py",
        '    if name in {".", ".."}:\n',
        "    if name is None:\n",
        ("tests/volumes/test_store.py::test_a_name_that_leads_up_is_refused",),
    ),
    Mutation(
        PATHS,
        "what a volume's state is called",
        "contracts/squall_volumes/store.py",
        "        if not _MANIFEST_ID.fullmatch(entry.value.manifest):\n",
        "        if entry.value.manifest is None:\n",
        (f"{VOLUMES}::test_state_is_kept_nowhere_but_in_the_cache",),
    ),
    Mutation(
        PATHS,
        "no link is followed where files are made",
        "contracts/squall_volumes/beneath.py",
        "_STEP: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC\n",
        "_STEP: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC\n",
        ("tests/volumes/test_store.py::test_a_link_swapped_in_leads_nowhere",),
    ),
    Mutation(
        PASS,
        "tokens are signed",
        PASSES,
        '        if not hmac.compare_digest(signature, hmac.digest(self._key, body, "sha256")):\n',
        "        if not signature:\n",
        (f"{PASSED}::test_changed_token_opens_nothing",),
    ),
    Mutation(
        PASS,
        "with a key of the gateways",
        PASSES,
        '        self._key = hmac.digest(secret, b"squall connect token", "sha256")\n',
        '        self._key = b"squall connect token"\n',
        (f"{PASSED}::test_token_opens_what_it_was_made_for_until_it_expires_and_for_no_other_key",),
    ),
    Mutation(
        PASS,
        "they name the sandbox",
        PASSES,
        "        return found if found is not None and found.sandbox_id == sandbox_id else None\n",
        "        return found\n",
        (CONNECTED,),
    ),
    Mutation(
        PASS,
        "they are taken out of the query",
        CONNECTING,
        "        query = without_token(asked.query)\n",
        "        query = asked.query\n",
        (CONNECTED,),
    ),
    Mutation(
        PASS,
        "they are taken out of the headers",
        CONNECTING,
        '        ours.add(b"authorization")',
        "        pass",
        (CONNECTED,),
    ),
    Mutation(
        PASS,
        "a client's own word of who it is does not count",
        CONNECTING,
        "    ours = {SAYS.lower().encode()}\n",
        "    ours = set[bytes]()\n",
        (CONNECTED,),
    ),
    Mutation(
        SEALED,
        "sealed by the client",
        "contracts/squall_bus/access/sealing.py",
        "    return hashlib.blake2b(content, key=mark_key, digest_size=MARK_BYTES).digest()\n",
        "    return content\n",
        (
            "tests/system/test_secrets.py"
            "::test_fifty_values_are_in_their_functions_and_nowhere_else[process]",
        ),
    ),
    Mutation(
        SEALED,
        "opened for one start",
        "services/gateway/squall_gateway/opening.py",
        '    return record.state == "placed"\n',
        "    return True\n",
        (
            "tests/services/gateway/test_secrets.py"
            "::test_only_the_runner_about_to_start_a_container_gets_its_values",
        ),
    ),
    Mutation(
        SEALED,
        "handed over by a pipe",
        "services/runner/squall_runner/starter.py",
        "bool(start.spec.secrets)\n",
        "False\n",
        (f"{SECRETS}::test_value_reaches_user_code_and_no_file[process]",),
    ),
    Mutation(
        SEALED,
        "in no log of a build",
        "services/builder/squall_builder/opening.py",
        "        text = text.replace(needle, HIDDEN)\n",
        "        text.replace(needle, HIDDEN)\n",
        (
            "tests/services/builder/test_handlers.py"
            "::test_values_of_secrets_are_hidden_in_lines_and_errors",
        ),
    ),
    Mutation(
        HTTP,
        "ambiguous requests get 400",
        # The parser refuses them: aiohttp's. One that is lenient is put in its place.
        "services/gateway/squall_gateway/web/listening.py",
        "log = structlog.get_logger()\n",
        "from aiohttp import web_protocol\n\nlog = structlog.get_logger()\n\n\n"
        "class _Lenient(web_protocol.HttpRequestParser):\n"
        "    def feed_data(self, data):\n"
        '        return super().feed_data(data.replace(b"\\r\\nContent-Length: 5\\r\\n",'
        ' b"\\r\\n"))\n\n\n'
        "web_protocol.HttpRequestParser = _Lenient\n",
        (f"{SERVICES}::test_ambiguous_request_is_refused_and_the_connection_closed",),
    ),
    Mutation(
        HTTP,
        "a name nobody has is nobody's",
        "services/gateway/squall_gateway/web/core.py",
        "                named = self._named.get(name.removesuffix(domain))\n",
        "                named = next(iter(self._named.values()))\n",
        (HOSTS,),
    ),
    Mutation(
        HTTP,
        "proxies are believed that are trusted",
        "services/gateway/squall_gateway/web/headers.py",
        "    if not trusted or not is_trusted(peer, trusted):\n",
        "    if not peer:\n",
        (HOSTS,),
    ),
    Mutation(
        POSING,
        "certificates are checked",
        "contracts/squall_bus/wire/opening.py",
        "        return ssl.create_default_context(cafile=ca_file or None)\n",
        "        return ssl._create_unverified_context()\n",
        (f"{TLS}::test_certificate_of_an_unknown_authority_is_refused",),
    ),
    Mutation(
        POSING,
        "a server that speaks no TLS is refused",
        "contracts/squall_bus/wire/opening.py",
        '        if url.startswith("tls://") and not wire.is_encrypted:\n',
        "        if not wire:\n",
        (f"{TLS}::test_server_without_tls_is_not_taken_for_one_with",),
    ),
    Mutation(
        USED_UP,
        "quotas of connections",
        LIMITS,
        ', "conn": quota.connections}',
        "}",
        (
            f"{QUOTAS}::test_connections_past_the_quota_are_refused_and_other_workspaces_are_not",
            f"{QUOTAS}::test_quota_becomes_limits_that_nats_holds_an_account_to",
        ),
    ),
    Mutation(
        USED_UP,
        "quotas of storage",
        LIMITS,
        '{"disk_storage": storage, ',
        "{",
        (f"{QUOTAS}::test_quota_becomes_limits_that_nats_holds_an_account_to",),
    ),
    Mutation(
        USED_UP,
        "NATS holds accounts to them",
        "contracts/squall_bus/access/accounts.py",
        '        "limits": bounds | dict(limits or {}),\n',
        '        "limits": bounds,\n',
        (f"{QUOTAS}::test_storage_past_an_accounts_limit_is_refused",),
    ),
    Mutation(
        USED_UP,
        "quotas of containers",
        "services/scheduler/squall_scheduler/sharing.py",
        "    if quota.containers is not None and containers + 1 > quota.containers:\n",
        "    if quota.containers is not None and containers < 0:\n",
        (f"{PLACING}::test_what_a_quota_forbids_says_so",),
    ),
    Mutation(
        USED_UP,
        "they are an operator's to set",
        "contracts/squall_contracts/verbs.py",
        'SET_QUOTA: Final = Verb("set_quota", identity.SetQuota, identity.WorkspaceReply,'
        ' scope="operator")\n',
        'SET_QUOTA: Final = Verb("set_quota", identity.SetQuota, identity.WorkspaceReply)\n',
        (f"{QUOTAS}::test_quota_is_an_operators_to_set",),
    ),
    Mutation(
        USED_UP,
        "clients make no streams",
        "contracts/squall_contracts/rights.py",
        '    publish = [subjects.UP_RENEW, "$JS.API.INFO", *_asks(has)]\n',
        '    publish = [subjects.UP_RENEW, "$JS.API.INFO", "$JS.API.STREAM.CREATE.*",'
        " *_asks(has)]\n",
        (f"{BUS}::test_client_changes_no_streams_and_takes_no_inputs",),
    ),
)
