"""An S3-compatible server that checks who asks, for the length of a session."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto.server import ThreadedMotoServer


class Server:
    """Its endpoint, and the keys of the one user it knows."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._tell("reset", b"")
        self._tell("reset-auth", b"inf")
        iam = self._client("iam", "nobody", "yet")
        iam.create_user(UserName="squall")
        everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
        iam.put_user_policy(UserName="squall", PolicyName="all", PolicyDocument=policy)
        key = iam.create_access_key(UserName="squall")["AccessKey"]
        self.keys = {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        }
        self._tell("reset-auth", b"0")  # from here on nobody else is answered
        self.s3 = self._client("s3", *self.keys.values())
        self.s3.create_bucket(Bucket="things")
        self.s3.put_bucket_versioning(  # without it the server names a version it does not know
            Bucket="things", VersioningConfiguration={"Status": "Enabled"}
        )

    def _tell(self, what: str, value: bytes) -> None:
        """Moto keeps it for all servers of this process, also those that come after."""
        request = urllib.request.Request(
            f"{self.endpoint}/moto-api/{what}", data=value, headers={"Content-Type": "text/plain"}
        )
        urllib.request.urlopen(request).close()

    def forget_users(self) -> None:
        """Whatever serves next in this process answers everybody."""
        self._tell("reset-auth", b"inf")

    def put(self, key: str, body: bytes) -> None:
        self.s3.put_object(Bucket="things", Key=key, Body=body)

    def get(self, key: str) -> bytes:
        body: bytes = self.s3.get_object(Bucket="things", Key=key)["Body"].read()
        return body

    def _client(self, service: str, key_id: str, secret: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            aws_access_key_id=key_id,
            aws_secret_access_key=secret,
            region_name="us-east-1",
        )


@contextmanager
def running() -> Iterator[Server]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        made = Server(f"http://{host}:{port}")
        try:
            yield made
        finally:
            made.forget_users()
    finally:
        server.stop()
