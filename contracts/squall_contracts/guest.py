"""Runner -> guest: everything a container must know, in one file it reads when it starts."""

from squall_contracts.functions import FunctionSpec
from squall_contracts.message import Message

ASSIGNMENT_VARIABLE = "SQUALL_ASSIGNMENT"
"""Environment variable with the path of the encoded Assignment (a file, or a pipe read to its end)."""

TEMPLATE_VARIABLE = "SQUALL_TEMPLATE"
"""Environment variable with the path of the encoded Template, in a container started ahead to be
held after its snap hooks."""

FLIGHT_RECORD_BYTES = 64 * 1024
FLIGHT_SLOT_BYTES = 512

EXIT_STARTUP = 1
"""The guest could not be made ready and said so: GuestReport(state="failed")."""
EXIT_NO_BUS = 3
"""The guest never reached NATS, or its connection ended for good; stderr names the reason."""
EXIT_STUCK = 4
"""User code yielded neither to its timeout nor to its cancellation; its outcome is stored."""
EXIT_FAULT = 70
"""The guest itself failed; stderr has the traceback."""
EXIT_MACHINE = 71
"""The machine could not do what a start takes, such as hold its files; stderr says what."""
EXIT_INTERRUPTED = 130
"""User code raised KeyboardInterrupt, or the guest was told to end while it started."""
EXIT_KILLED = 143
"""A second SIGTERM: nothing was waited for."""


class Credentials(Message, frozen=True, kw_only=True):
    """A NATS user: its JWT, and the seed that signs the server's nonce."""

    jwt: str
    seed: str


class Assignment(Message, frozen=True, kw_only=True):
    """What one container runs and on whose behalf."""

    container_id: str
    function_id: str
    app_id: str
    app_name: str
    workspace: str
    environment: str
    version: int = 1
    image_id: str
    spec: FunctionSpec
    function_ids: dict[str, str]
    servers: tuple[str, ...]
    """NATS URLs as seen from inside the container."""
    guest: Credentials
    """Reaches this function's consumers, acks and results, nothing else."""
    client: Credentials
    """What the SDK inside the container may do on the user's behalf."""
    files_dir: str
    """Where the runner laid `spec.files`, at their absolute paths below this directory."""
    root: str
    """The directory `/` of `spec.files` maps to: `/` in Docker, a directory of its own for a process."""
    flight_record: str
    """A file of FLIGHT_RECORD_BYTES the guest maps and notes its running deliveries in, one slot of
    FLIGHT_SLOT_BYTES each: 2 bytes length (big-endian), then an encoded HeldInput; length 0 frees
    the slot."""
    ack_wait_s: float
    """Deliveries must be acked or extended within this time; guests extend at a third of it."""
    away_s: float = 600.0
    """A container that runs nothing ends after so long without its server: nobody else could end it."""
    drain_s: float = 30.0
    secrets: dict[str, str] = {}
    """Variables of the function's secrets, opened. With any, the assignment comes through a pipe."""
    ahead: bool = False
    """The container was started before this was known: nobody waited for what it did until then."""
    ca_file: str = ""
    """Certificates (PEM) by which to know `servers`; empty: the container's own."""


class Template(Message, frozen=True, kw_only=True):
    """What a container prepares itself for, before its assignment says whose it is."""

    assignment: Assignment
    """Without credentials and servers; its container id is the slot's name."""
    code: bytes | None = None
    """The pickled function of a serialized one; None: it is imported."""
    failure_path: str
    """Where the guest writes one line when it can't be prepared."""
