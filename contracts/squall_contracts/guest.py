"""Runner -> guest: everything a container must know, in one file it reads when it starts."""

from squall_contracts.functions import FunctionSpec
from squall_contracts.message import Message

ASSIGNMENT_VARIABLE = "SQUALL_ASSIGNMENT"
"""Environment variable with the path of the encoded Assignment (a file, or a pipe read to its end)."""

FLIGHT_RECORD_BYTES = 64 * 1024
FLIGHT_SLOT_BYTES = 512


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
    FLIGHT_SLOT_BYTES each: 2 bytes length, then an encoded HeldInput; length 0 frees the slot."""
    ack_wait_s: float
    """Deliveries must be acked or extended within this time; guests extend at a third of it."""
    drain_s: float = 30.0
