"""Tokens, scopes, and who is told what of whom."""

from typing import Final

from tests.security.mutation import Mutation

ACCESS: Final = "tests/services/gateway/test_access.py"
CORE: Final = "services/gateway/squall_gateway/access/core.py"
TOKENS: Final = "services/gateway/squall_gateway/access/tokens.py"
RIGHTS: Final = "contracts/squall_contracts/rights.py"
SERVICES: Final = "tests/security/test_services.py"
TOKEN: Final = "made-up-foreign-expired"
REVOKED: Final = "going-revoked-token"
SCOPES: Final = "more-rights-s"
JOINING: Final = "joining-used-token"
LISTENING: Final = "listening-signs"

MUTATIONS: Final = (
    Mutation(
        TOKEN,
        "the secret's hash is compared",
        CORE,
        "    new = hmac.compare_digest(record.sha256, given)\n",
        "    new = True\n",
        (f"{ACCESS}::test_wrong_secret_is_refused_as_an_unknown_token_is",),
    ),
    Mutation(
        TOKEN,
        "in constant time",
        CORE,
        "    new = hmac.compare_digest(record.sha256, given)\n",
        "    new = record.sha256 == given\n",
        (f"{SERVICES}::test_secrets_are_compared_in_constant_time",),
    ),
    Mutation(
        TOKEN,
        "the registry is asked each time",
        TOKENS,
        "            await self.records.delete(access_subjects.token_key(record.token_id))\n",
        "            pass\n",
        (f"{ACCESS}::test_revocation_ends_live_connections_at_once_and_no_others",),
    ),
    Mutation(
        TOKEN,
        "a token ends when it says",
        CORE,
        "    if record.expires_unix_s is None or now_unix_s < record.expires_unix_s:\n"
        "        return None\n",
        "    if record is not None:\n        return None\n",
        (f"{ACCESS}::test_expired_token_opens_nothing_and_says_so",),
    ),
    Mutation(
        TOKEN,
        "a rotated secret ends with its grace",
        CORE,
        " and now_unix_s < record.old_until_unix_s\n",
        "\n",
        (f"{ACCESS}::test_old_secret_ends_with_its_grace",),
    ),
    Mutation(
        TOKEN,
        "a token is its workspace's",
        TOKENS,
        "        if entry is None or entry.value.account != account:\n",
        "        if entry is None:\n",
        (f"{ACCESS}::test_another_workspace_neither_sees_nor_ends_a_token",),
    ),
    Mutation(
        REVOKED,
        "revocations are in the account's claims",
        "contracts/squall_bus/access/accounts.py",
        '        "revocations": dict(revocations or {}),\n',
        '        "revocations": {},\n',
        (f"{ACCESS}::test_revocation_ends_live_connections_at_once_and_no_others",),
    ),
    Mutation(
        REVOKED,
        "revocations are kept",
        "services/gateway/squall_gateway/access/accounts.py",
        "            revoked.setdefault(account, {})[public_key] = each.at_unix_s\n",
        "            _ = account, public_key, each\n",
        (f"{ACCESS}::test_revoked_credentials_stay_revoked_when_nats_restarts",),
    ),
    Mutation(
        SCOPES,
        "permissions by verb in the JWT",
        RIGHTS,
        "    return [subjects.up_api(verb.name) for verb in verbs.VERBS.values()"
        " if verb.scope in has]\n",
        '    return ["up.api.*"]\n',
        (f"{ACCESS}::test_each_scope_asks_what_it_may_and_no_more",),
    ),
    Mutation(
        SCOPES,
        "no token exceeds its user",
        TOKENS,
        "        refused = core.excess(scopes, most)\n",
        "        refused = None\n",
        (f"{ACCESS}::test_token_has_no_more_than_its_user_may",),
    ),
    Mutation(
        SCOPES,
        "no token of a workspace reaches beyond it",
        TOKENS,
        "        if core.of_platform(request.scopes):\n",
        "        if not core:\n",
        (f"{ACCESS}::test_nobody_gives_what_reaches_beyond_their_workspace",),
    ),
    Mutation(
        SCOPES,
        "no member reaches beyond their workspace",
        "services/gateway/squall_gateway/access/members.py",
        "        if included(request.scopes) & PLATFORM_SCOPES:\n",
        "        if not included(request.scopes):\n",
        (f"{ACCESS}::test_nobody_gives_what_reaches_beyond_their_workspace",),
    ),
    Mutation(
        JOINING,
        "bound to the first runner's key",
        CORE,
        "    if record.runner_id and (record.runner_id, record.runner_key)"
        " != (runner_id, public_key):\n",
        "    if record.runner_id and not public_key:\n",
        (f"{ACCESS}::test_join_token_makes_one_runner_and_lets_that_one_return",),
    ),
    Mutation(
        LISTENING,
        "services may not subscribe there",
        RIGHTS,
        '    return [] if service == "gateway" else [access_subjects.SIGN_IN_ALL]\n',
        "    return []\n",
        (f"{ACCESS}::test_no_other_service_hears_who_signs_in",),
    ),
    Mutation(
        LISTENING,
        "the lobby asks nothing else",
        RIGHTS,
        "    return [access_subjects.SIGN_IN], [",
        '    return [">"], [',
        (f"{ACCESS}::test_lobby_can_do_nothing_but_sign_in",),
    ),
    Mutation(
        LISTENING,
        "the lobby hears nothing else",
        RIGHTS,
        '[f"{subjects.inbox(access_subjects.LOBBY_OWNER)}.>"]',
        '[">"]',
        (f"{ACCESS}::test_lobby_can_do_nothing_but_sign_in",),
    ),
)
