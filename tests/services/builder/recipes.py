"""Recipes for property tests."""

import hashlib

from hypothesis import strategies as st
from squall_contracts import images
from squall_contracts.secrets import StepSecret

WORD = st.text("abcdefghijklmnop-_.0123456789", min_size=1, max_size=8).filter(
    lambda word: word.strip(".") == word
)
TEXT = st.text(st.characters(blacklist_characters="\n\0\r", codec="utf-8"), min_size=1, max_size=12)
NAMES = st.text("ABCDEFGH_", min_size=1, max_size=5)
ENV = st.dictionaries(NAMES, TEXT, max_size=3)
SECRETS = st.lists(
    st.builds(StepSecret, name=WORD, environment=st.just("main"))
    | st.builds(StepSecret, keys=st.just(("A", "B"))),
    max_size=2,
).map(tuple)


def context_file(path: str, content: str = "") -> images.ContextFile:
    data = content.encode()
    return images.ContextFile(
        path=path, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data)
    )


def files(prefix: str) -> st.SearchStrategy[tuple[images.ContextFile, ...]]:
    return st.dictionaries(WORD, WORD, min_size=1, max_size=3).map(
        lambda found: tuple(context_file(f"{prefix}{path}", text) for path, text in found.items())
    )


WORDS = st.lists(WORD, min_size=1, max_size=3).map(tuple)
STEPS: st.SearchStrategy[images.Step] = st.one_of(
    st.builds(
        images.PipInstall,
        packages=WORDS,
        requirements=files("0-"),
        installer=st.sampled_from(["pip", "uv"]),
        index_url=st.none() | TEXT,
        pre=st.booleans(),
        env=ENV,
    ),
    st.builds(images.UvSync, project=files(""), groups=WORDS, frozen=st.booleans(), env=ENV),
    st.builds(images.AptInstall, packages=WORDS, env=ENV),
    st.builds(
        images.RunCommands,
        commands=st.lists(
            st.sampled_from(["ls", "a && b", "one\ntwo", "x \\\n y"]), min_size=1
        ).map(tuple),
        env=ENV,
    ),
    st.builds(
        images.DockerfileCommands,
        lines=st.lists(
            st.sampled_from(["RUN ls", "# remark", "RUN a \\\n  b", "COPY x /y"]), min_size=1
        ).map(tuple),
    ),
    st.builds(images.SetEnv, values=st.dictionaries(NAMES, TEXT, min_size=1, max_size=3)),
    st.builds(images.Workdir, path=TEXT.map(lambda text: f"/{text}")),
    st.builds(images.Entrypoint, argv=st.lists(TEXT).map(tuple)),
    st.builds(images.Cmd, argv=st.lists(TEXT).map(tuple)),
    st.builds(images.CopyFiles, files=files("/root/")),
    st.builds(
        images.RunFunction,
        serialized=WORD.map(lambda text: context_file("function.pkl", text)),
        source_sha256=WORD,
        files=files("/root/"),
    ),
)
BASES: st.SearchStrategy[images.Base] = st.one_of(
    st.builds(images.DebianSlim, python_version=st.sampled_from(["3.11", "3.12", "3.13"])),
    st.builds(
        images.Registry,
        reference=WORD,
        setup_commands=st.lists(st.just("RUN setup"), max_size=2).map(tuple),
        add_python=st.none() | st.just("3.12"),
    ),
    st.builds(
        images.Dockerfile,
        text=st.sampled_from(
            ["FROM a", "# x\nFROM a AS b\nRUN \\\n  ls\n\nFROM c\nCOPY --from=b /x /y\n"]
        ),
    ),
)
RECIPES = st.builds(
    images.Recipe,
    base=BASES,
    steps=st.lists(STEPS, max_size=5).map(tuple),
    force=st.sampled_from(["", "n"]),
)
HIDDEN_STEPS = st.one_of(
    st.builds(images.RunCommands, commands=WORDS, env=ENV, secrets=SECRETS),
    st.builds(images.PipInstall, packages=WORDS, requirements=files("0-"), secrets=SECRETS),
    st.builds(images.AptInstall, packages=WORDS, secrets=SECRETS),
)
HIDDEN_RECIPES = st.builds(
    images.Recipe,
    base=BASES,
    steps=st.lists(st.one_of(STEPS, HIDDEN_STEPS), max_size=5).map(tuple),
)
"""Recipes of which some steps have secrets."""
