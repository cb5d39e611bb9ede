"""Mosquitto on loopback ports, with users and limits of its own; and somebody who subscribes, by another library."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import paho.mqtt.client as paho
import trustme

from tests.postgres_server import free_port
from tests.real.servers import CannotBeHad, running

PASSWORD = "real-password-0123456789"
SETTINGS = """
user {user}
log_dest stderr
allow_anonymous false
password_file {folder}/passwords
acl_file {folder}/rights
max_queued_messages 100000
max_packet_size 20000
message_size_limit 10000

listener {plain} 127.0.0.1
listener {tls} 127.0.0.1
certfile {folder}/server.pem
keyfile {folder}/server.key
listener {forgetful} 127.0.0.1
max_qos 0
certfile {folder}/server.pem
keyfile {folder}/server.key
"""
RIGHTS = """
user hub
topic write audiences/#
user reader
topic readwrite #
user stranger
topic write elsewhere/#
"""


@dataclass(frozen=True)
class RealMosquitto:
    """Its ports: `plain`, `tls`, and `forgetful`, which acknowledges nothing."""

    plain: int
    tls: int
    forgetful: int
    ca: str

    def config(self, **other: Any) -> dict[str, Any]:
        login = {"username": "hub", "password": PASSWORD, "ca": self.ca}
        return {"host": "127.0.0.1", "port": self.tls, **login, **other}

    @property
    def listens(self) -> frozenset[str]:
        return frozenset(f"127.0.0.1:{port}" for port in (self.plain, self.tls, self.forgetful))

    def retained(self, below: str) -> dict[str, bytes]:
        """What whoever subscribes now is told, by topic."""
        return _Reader(self.plain, below).told()


@dataclass
class _Reader:
    """Subscribes, and then sends itself a word: when that comes back, all that was retained has come before it."""

    port: int
    below: str
    end: str = field(default_factory=lambda: f"end/{uuid4().hex}")
    heard: dict[str, bytes] = field(default_factory=dict)
    ended: threading.Event = field(default_factory=threading.Event)

    def told(self) -> dict[str, bytes]:
        client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        client.username_pw_set("reader", PASSWORD)
        client.on_connect = lambda *_: client.subscribe([(f"{self.below}/#", paho.SubscribeOptions(0)),
                                                         (self.end, paho.SubscribeOptions(0))])  # fmt: skip
        client.on_subscribe = lambda *_: client.publish(self.end, b"")
        client.on_message = lambda _, __, message: self._hear(message)
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        try:
            assert self.ended.wait(30), "Mosquitto does not answer who subscribes"
        finally:
            client.disconnect()
            client.loop_stop()
        return self.heard

    def _hear(self, message: paho.MQTTMessage) -> None:
        if message.topic == self.end:
            self.ended.set()
        else:
            self.heard[message.topic] = message.payload


@contextmanager
def mosquitto(folder: Path) -> Iterator[RealMosquitto]:
    daemon = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
    if daemon is None or not shutil.which("mosquitto_passwd"):
        raise CannotBeHad("Mosquitto is not installed: apt-get install mosquitto")
    authority = trustme.CA()
    broker = RealMosquitto(free_port(), free_port(), free_port(), authority.cert_pem.bytes().decode())
    _prepare(folder, authority)
    user = "root" if os.geteuid() == 0 else ""
    settings = SETTINGS.format(folder=folder, plain=broker.plain, tls=broker.tls, forgetful=broker.forgetful, user=user)
    (folder / "settings").write_text(settings if user else settings.replace("user \n", ""))
    with running([daemon, "-c", folder / "settings"], lambda: _listens(broker.forgetful), folder / "log"):
        yield broker


def _prepare(folder: Path, authority: trustme.CA) -> None:
    (folder / "passwords").touch(mode=0o600)
    for user in ("hub", "reader", "stranger"):
        subprocess.run(["mosquitto_passwd", "-b", folder / "passwords", user, PASSWORD], check=True)
    (folder / "rights").write_text(RIGHTS)
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(str(folder / "server.key"))
    issued.cert_chain_pems[0].write_to_path(str(folder / "server.pem"))


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            return True
    except OSError:
        return False
