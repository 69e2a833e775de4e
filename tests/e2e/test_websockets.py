"""WebSockets of real clients in the sandbox, to a real server."""

import json

import harness
from harness import PYTHON, MoatTest
from socket_origin import SocketOrigin
from wire import connect_to

SOCKETS = "other.example.test"


class WebSockets(MoatTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.sockets = SocketOrigin(cls.root / "origin")

    @classmethod
    def tearDownClass(cls):
        cls.sockets.stop()
        super().tearDownClass()

    @classmethod
    def origin_flags(cls):
        return ["--upstream-ca", cls.origin.ca, *connect_to(SOCKETS, cls.sockets)]

    def check(self, program, name, **more):
        for scheme in ("wss", "ws"):
            done = self.run_moat(*program, self.script(name), "%s://%s" % (scheme, SOCKETS),
                                 flags=["--env", "NODE_PATH=/usr/share/nodejs"])
            self.assertEqual(json.loads(done.stdout), {
                "subprotocol": "v2.moat", "text": "small", "empty": "",
                "fragments": "in three frames", "own close": [4002, "enough"],
                "both": [True, True, 8 << 20], "their close": [4001, "go away"], **more})
            exchanges = self.trace()
            self.assertEqual([(one["path"], one["status"]) for one in exchanges],
                             [("/echo", 101), ("/both", 101), ("/close", 101)])
            self.assertGreater(exchanges[1]["response_bytes"], 8 << 20)

    def test_of_pythons_websockets(self):
        self.check([PYTHON], "ws.py", binary="00ff8062696e617279", pong=True)

    def test_of_nodes_ws(self):
        self.check(["node"], "ws.js", binary="00ff80", pong="are you there?")


if __name__ == "__main__":
    harness.main()
