"""What containers, builds and runners may touch of their machine, and of one another."""

from typing import Final

from tests.security.mutation import Mutation

IN_CONTAINERS: Final = "tests/security/test_containers.py"
FILES: Final = "tests/services/runner/test_container_files.py"
GRAFTING: Final = "tests/services/runner/test_grafting.py"
CONFIG: Final = "services/runner/squall_runner/docker_config.py"
ROOT: Final = "services/runner/squall_runner/container_files/root.py"
GRAFTS: Final = "services/runner/squall_runner/container_files/grafting.py"
NETWORKS: Final = "services/runner/squall_runner/networks.py"
RULES: Final = "contracts/squall_guard/rules.py"
SANDBOXES: Final = "contracts/squall_guard/sandboxes.py"
REFERENCES: Final = "services/builder/squall_builder/references.py"
NAMED: Final = "tests/services/builder/test_references.py::test_what_could_be_anothers_is_refused"
READ_ONLY: Final = (
    f"{IN_CONTAINERS}::test_guest_and_assignment_are_read_only_and_the_engine_is_not_there"
)
DISK: Final = "tests/services/runner/test_disk.py"
GUARD: Final = "services/runner/squall_runner/disk/guard.py"
WRITTEN: Final = "services/runner/squall_runner/disk/written.py"
FEW: Final = f"{IN_CONTAINERS}::test_capabilities_are_few_and_none_can_be_gained"

LINKS: Final = "links-pipes-devices"
MOUNTS: Final = "links-container-where"
MACHINE: Final = "reaching-machine-metadata"
ELSEWHERE: Final = "connecting-elsewhere-listed"
BUILDS: Final = "build-steps-reach"
BASES: Final = "building-another-workspace"
ESCAPES: Final = "escapes-capabilities-set-uid"
USED_UP: Final = "workspace-uses-everything"

MUTATIONS: Final = (
    Mutation(
        LINKS,
        "paths resolved below the container's root",
        ROOT,
        "        how = _How(flags, 0, _IN_ROOT | _NO_MAGIC_LINKS)\n",
        "        how = _How(flags, 0, 0)\n",
        # Not the tests that remove what they find: what these would find is the machine's.
        (f"{FILES}::test_absolute_link_means_a_path_inside",),
    ),
    Mutation(
        LINKS,
        "threads with a container's capabilities",
        "services/runner/squall_runner/container_files/threads.py",
        ', "files", initializer=_shed)',
        ', "files")',
        (f"{FILES}::test_threads_have_no_capability_a_container_would_not_have",),
    ),
    Mutation(
        LINKS,
        "only regular files are opened",
        ROOT,
        "            if not stat.S_ISREG(mode):\n",
        "            if not mode:\n",
        (
            f"{FILES}::test_pipe_is_refused_and_never_waited_for",
            f"{FILES}::test_device_is_refused",
        ),
    ),
    Mutation(
        MOUNTS,
        "the place is looked at from within the container",
        GRAFTS,
        '    if place == "/" or any(f"{place}/".startswith(f"{each}/") for each in PROTECTED):\n',
        "    if not place:\n",
        (f"{GRAFTING}::test_nothing_is_shown_over_what_is_not_the_users",),
    ),
    Mutation(
        MOUNTS,
        "and once more when it is mounted",
        GRAFTS,
        "                if _allowed(target) != place:\n",
        "                if not _allowed(target):\n",
        (f"{GRAFTING}::test_directory_is_shown_where_it_was_meant_to_be_and_nowhere_else",),
    ),
    Mutation(
        MACHINE,
        "of the machine only NATS",
        RULES,
        '        lines.append(f"-A OUTPUT -d {address} -j REJECT")\n',
        "",
        (f"{IN_CONTAINERS}::test_machine_is_out_of_reach_but_for_nats",),
    ),
    Mutation(
        MACHINE,
        "no link-local address",
        RULES,
        '    lines.append(f"-A OUTPUT -d {LINK_LOCAL} -j REJECT")\n',
        "",
        (f"{IN_CONTAINERS}::test_metadata_addresses_are_refused",),
    ),
    Mutation(
        MACHINE,
        "the rules are set",
        "contracts/squall_guard/namespaces.py",
        '        await _output("nsenter", f"--net=/proc/{process_id}/ns/net",'
        ' "iptables-restore", text=text)\n',
        "        _ = text\n",
        (f"{IN_CONTAINERS}::test_machine_is_out_of_reach_but_for_nats",),
    ),
    Mutation(
        MACHINE,
        "no traffic between containers",
        SANDBOXES,
        '{"com.docker.network.bridge.enable_icc": "false"}',
        '{"com.docker.network.bridge.enable_icc": "true"}',
        (f"{IN_CONTAINERS}::test_neighbour_is_out_of_reach",),
    ),
    Mutation(
        MACHINE,
        "not in networks that were there before either",
        SANDBOXES,
        "    if not neighbours and not NO_NEIGHBOURS.items() <= "
        '(shown["Options"] or {}).items():\n',
        "    if not shown:\n",
        (
            "tests/services/runner/test_networks.py"
            "::test_network_whose_members_reach_one_another_is_not_used",
        ),
    ),
    Mutation(
        ELSEWHERE,
        "rules of what is listed",
        RULES,
        '        lines += [f"-A OUTPUT -d {cidr} -j ACCEPT" for cidr in only.cidrs]\n',
        '        lines.append("-A OUTPUT -j ACCEPT")\n',
        ("tests/guard/test_rules.py::test_with_a_list_nothing_else_is_open_but_nats",),
    ),
    Mutation(
        ELSEWHERE,
        "made before the container starts",
        NETWORKS,
        "            return await self.make_now(blocked=launch.block_network, only=launch.only)\n",
        "            return await self.make_now(blocked=launch.block_network)\n",
        (f"{IN_CONTAINERS}::test_function_with_a_list_connects_to_nothing_else",),
    ),
    Mutation(
        ELSEWHERE,
        "a list opens nothing of the machine",
        RULES,
        '        "-A OUTPUT -o lo -j ACCEPT",\n    ]\n',
        '        "-A OUTPUT -o lo -j ACCEPT",\n'
        '        *(f"-A OUTPUT -d {cidr} -j ACCEPT" for cidr in (only.cidrs if only else ())),\n'
        "    ]\n",
        (f"{IN_CONTAINERS}::test_list_opens_neither_the_machine_nor_the_metadata_addresses",),
    ),
    Mutation(
        BUILDS,
        "the same rules in the build's namespace",
        "services/builder/squall_builder/fence.py",
        "        self._guard = Guard(url for url in needed if url) if settings.guard else None\n",
        "        self._guard: Guard | None = None\n        _ = needed\n",
        (
            "tests/services/builder/test_docker.py"
            "::test_build_steps_reach_neither_the_machine_nor_its_metadata",
        ),
    ),
    Mutation(
        BASES,
        "names are checked before the build",
        "services/builder/squall_builder/docker.py",
        "                    raise BuildError(refused)\n",
        "                    pass\n",
        ("tests/services/builder/test_docker.py::test_images_of_others_are_no_base",),
    ),
    Mutation(
        BASES,
        "no names of what Squall built",
        REFERENCES,
        '        if OWN.match(_HOSTS.sub("", reference)):\n',
        "        if not reference:\n",
        (NAMED,),
    ),
    Mutation(
        BASES,
        "no ids",
        REFERENCES,
        "        if ID.fullmatch(reference):\n",
        "        if not reference:\n",
        (NAMED,),
    ),
    Mutation(
        BASES,
        "after their variables",
        REFERENCES,
        "            found[name] = build_args[name]\n",
        '            found[name] = "scratch"\n',
        (
            "tests/services/builder/test_references.py"
            "::test_value_given_for_the_build_wins_over_the_default",
        ),
    ),
    Mutation(
        ESCAPES,
        "capabilities are dropped",
        CONFIG,
        '        "CapDrop": ["ALL"],\n',
        "",
        (FEW,),
    ),
    Mutation(
        ESCAPES,
        "no new privileges",
        CONFIG,
        '        "SecurityOpt": ["no-new-privileges"],\n',
        "",
        (FEW,),
    ),
    Mutation(
        ESCAPES,
        "Docker's seccomp profile",
        CONFIG,
        '"SecurityOpt": ["no-new-privileges"]',
        '"SecurityOpt": ["no-new-privileges", "seccomp=unconfined"]',
        (FEW,),
    ),
    Mutation(
        ESCAPES,
        "the guest is read-only",
        CONFIG,
        "/squall/site:ro",
        "/squall/site",
        (READ_ONLY,),
    ),
    Mutation(
        ESCAPES,
        "the assignment is read-only",
        CONFIG,
        "/in:/squall/in:ro",
        "/in:/squall/in",
        (READ_ONLY,),
    ),
    Mutation(
        ESCAPES,
        "the engine's socket is not mounted",
        CONFIG,
        '        f"{launch.site}:/squall/site:ro",\n',
        '        f"{launch.site}:/squall/site:ro",\n'
        '        "/var/run/docker.sock:/var/run/docker.sock",\n',
        (READ_ONLY,),
    ),
    Mutation(
        USED_UP,
        "what containers write is looked at",
        "services/runner/squall_runner/app.py",
        "            intake.start_soon(disk.watch)\n",
        "            pass\n",
        (f"{DISK}::test_who_writes_too_much_is_ended_and_who_stays_below_goes_on",),
    ),
    Mutation(
        USED_UP,
        "who wrote too much is ended",
        GUARD,
        "                    container.overfill(why)\n",
        "                    pass\n",
        (f"{DISK}::test_who_writes_too_much_is_ended_and_who_stays_below_goes_on",),
    ),
    Mutation(
        USED_UP,
        "so is a snapshot that did",
        GUARD,
        "                    await self._end_snapshot(slot.record.handle)\n",
        "                    pass\n",
        (f"{DISK}::test_a_snapshot_that_writes_too_much_is_not_held",),
    ),
    Mutation(
        USED_UP,
        "what is more than allowed is too much",
        "services/runner/squall_runner/disk/core.py",
        "    if allowed is None or written_bytes <= allowed * MIB:\n",
        "    if allowed is None or written_bytes:\n",
        (f"{DISK}::test_exactly_those_are_ended_that_wrote_more_than_allowed",),
    ),
    Mutation(
        USED_UP,
        "a function has no more than its runner gives",
        "services/runner/squall_runner/disk/core.py",
        " for each in (own, most) if",
        " for each in (own,) if",
        (f"{DISK}::test_a_function_has_what_it_says_and_no_more_than_its_runner_gives",),
    ),
    Mutation(
        USED_UP,
        "a container's own layer counts",
        WRITTEN,
        '    layer = int(shown.get("SizeRw") or 0)\n',
        "    layer = 0\n",
        (f"{DISK}::test_what_a_container_can_write_to_is_counted[/root/file]",),
    ),
    Mutation(
        USED_UP,
        "so does the directory of its flight record",
        "services/runner/squall_runner/docker.py",
        '(directory / "out",)',
        "()",
        (f"{DISK}::test_what_a_container_can_write_to_is_counted[/squall/out/file]",),
    ),
    Mutation(
        USED_UP,
        "so do the engine's files in /etc",
        WRITTEN,
        "        if path := shown.get(name):\n",
        "        if path := None:\n",
        (f"{DISK}::test_what_lies_beside_its_layer_is_counted[/etc/hosts]",),
    ),
    Mutation(
        USED_UP,
        "so do volumes its image declares",
        WRITTEN,
        """        if mount["Type"] == "volume" and mount.get("Source"):\n""",
        """        if mount["Type"] == "none" and mount.get("Source"):\n""",
        (f"{DISK}::test_what_lies_beside_its_layer_is_counted[/kept/file]",),
    ),
    Mutation(
        USED_UP,
        "so does what it changed in mounted images",
        "services/runner/squall_runner/docker.py",
        "        for holder in self._mounts.holders(container):\n",
        "        for holder in ():\n",
        ("tests/system/test_disk.py::test_what_a_sandbox_changes_in_a_mounted_image_counts",),
    ),
    Mutation(
        USED_UP,
        "a machine doesn't rest for what containers wrote",
        "services/scheduler/squall_scheduler/brakes.py",
        "    if report.overfull:\n",
        "    if report.overfull and was_told_to_stop:\n",
        (
            "tests/services/scheduler/test_brakes.py"
            "::test_a_container_that_wrote_too_much_says_nothing_of_its_machine",
        ),
    ),
)
