#!/usr/bin/env python3
"""Asks the SSH agent for what it must not give, as a program in the sandbox might. Beside it lie
the public keys of the grant, of the agent's owner, and of the host."""

import base64
import os
import socket
import struct
import sys

here = os.path.dirname(os.path.abspath(__file__))
FAILURE, SUCCESS, SIGNED = 5, 6, 14


def blob(name):
    with open(os.path.join(here, name)) as file:
        return base64.b64decode(file.read().split()[1])


granted, private, host = blob("granted.pub"), blob("private.pub"), blob("host.pub")


def string(data):
    return struct.pack(">I", len(data)) + data


class Agent:
    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(os.environ["SSH_AUTH_SOCK"])

    def ask(self, message):
        self.socket.sendall(string(message))
        head = self.read(4)
        return self.read(struct.unpack(">I", head)[0])

    def read(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data


def bind(key=host, session=b"s" * 32, signature=None, forwarding=0, rest=b""):
    if signature is None:
        signature = string(b"ssh-ed25519") + string(b"\0" * 64)
    return (b"\x1b" + string(b"session-bind@openssh.com") + string(key) + string(session) +
            string(signature) + bytes([forwarding]) + rest)


def userauth(session=b"s" * 32, key=None, user=b"root", method=b"publickey", more=b""):
    key = key or granted
    return (string(session) + b"\x32" + string(user) + string(b"ssh-connection") + string(method) +
            b"\x01" + string(b"ssh-ed25519") + string(key) + more)


def sign(data, key=None, flags=0):
    return b"\x0d" + string(key or granted) + string(data) + struct.pack(">I", flags)


def expect(what, agent, message, answer=bytes([FAILURE])):
    got = agent.ask(message)
    if got != answer:
        print("%s: %r" % (what, got))
        sys.exit(1)
    print("%s: as it should be" % what)


if sys.argv[1:] == ["unbound"]:
    got = Agent().ask(sign(userauth()))
    assert got[0] == SIGNED, got
    expect("another key", Agent(), sign(userauth(key=private), private))
    expect("a text", Agent(), sign(b"SSHSIG" + string(b"git")))
    after = Agent()
    expect("a forged binding", after, bind())
    expect("after it", after, sign(userauth()))
    print("signed, and nothing else")
    sys.exit(0)

expect("a signature without binding", Agent(), sign(userauth()))
forged = Agent()
expect("a forged binding", forged, bind())
expect("a signature after it", forged, sign(userauth()))
expect("a list after it", forged, b"\x0b", b"\x0c\0\0\0\0")
expect("a binding to nobody's key", Agent(), bind(key=granted))
expect("a binding for forwarding", Agent(), bind(forwarding=1))
expect("a binding with more behind it", Agent(), bind(rest=b"x"))
expect("a binding cut short", Agent(), bind()[:-20])
expect("somebody else's key", Agent(), sign(userauth(key=private), private))
expect("a text", Agent(), sign(b"SSHSIG" + string(b"git")))
expect("another key inside", Agent(), sign(userauth(key=private)))
expect("flags", Agent(), sign(userauth(), flags=2))
for number, name in ((17, "add"), (18, "remove"), (19, "remove all"), (20, "smartcard"),
                     (22, "lock"), (23, "unlock"), (25, "add constrained"), (1, "version 1"),
                     (255, "the last")):
    expect(name, Agent(), bytes([number]) + string(granted))
expect("an extension", Agent(), b"\x1b" + string(b"query"))
expect("nothing", Agent(), b"")
long = Agent()
try:
    long.socket.sendall(struct.pack(">I", 1 << 31) + b"x" * 1000)
    print("a long message: %r" % long.read(1))
    sys.exit(1)
except (EOFError, ConnectionError):
    print("a long message: as it should be")
many = [Agent() for _ in range(60)]
for agent in many[:20]:
    expect("one of many", agent, b"\x0b", b"\x0c\0\0\0\1" + string(granted) +
           string(b"ssh:git.example.test"))
print("all refused")
