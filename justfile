# Every task of the project. CI and editors call these, never commands of their own.

set positional-arguments

# List the tasks
_default:
    @just --list --unsorted

# Start everything as containers, or replace single services: just up gateway scheduler
up *services:
    deploy/compose up "$@"

# Stop what `just up` started; state stays
down:
    deploy/compose down

# Follow the logs of all services, or of some
logs *services:
    deploy/compose logs "$@"

# Format, lint, types, architecture, version against changelog
check:
    uv run ruff format --check .
    uv run ruff check .
    uv run mypy contracts sdk services tests
    uv run mypy --disable-error-code import-not-found examples
    uv run pytest -q tests/architecture

# Everything but what needs the whole stack
test *options:
    uv run pytest -q --ignore tests/system --ignore tests/examples --ignore tests/bench "$@"

# The whole stack on a real nats-server and a real Docker
system *options:
    uv run pytest -q tests/system "$@"

# Take each guard of docs/security.md away, and see that a test notices: just unguarded path http
unguarded *rows:
    uv run python -m tests.security.unguarded "$@"

# Run every example under every runtime there is
examples *options:
    uv run pytest -q tests/examples "$@"

# Measure Squall against its floor: JSON lines and a table
bench *options:
    uv run python -m tests.bench "$@"

# Measure Ray, Dask, Celery and arq beside Squall, in an environment of their own
bench-peers:
    uv run --no-project --with ray --with distributed --with "celery[redis]" --with arq python tests/bench/peers.py

# Format and mend what can be mended
fmt:
    uv run ruff format .
    uv run ruff check --fix .
