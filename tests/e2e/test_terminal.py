"""Programs that want a terminal, driven as a person drives them: under tmux. And those that do not."""

import io
import os
import re
import shlex
import signal
import subprocess
import tarfile
import time
import unittest

import harness
from harness import MOAT, MoatTest, UID, wait_for


class Screen:
    """A terminal with a person at it: a tmux of our own, whose one window begins with a shell."""

    def __init__(self, test, columns=100, rows=30):
        self.test = test
        home = test.make_dir(test.workspace.parent / "screen")
        (home / "tmux.conf").write_text("set -g status off\nset -g escape-time 0\n"
                                        "set -g default-terminal tmux-256color\n")
        os.chown(home, UID, UID)
        self.socket = home / "socket"
        self.env = test.environment({"TERM": "xterm-256color"})
        self.call("-f", str(home / "tmux.conf"), "new-session", "-d", "-x", str(columns), "-y",
                  str(rows), "env PS1='$ ' bash --norc --noprofile", check=True)
        self.until(r"^\$")

    def call(self, *words, check=False):
        done = subprocess.run(self.test.as_user(["tmux", "-u", "-S", str(self.socket), *words]),
                              env=self.env, capture_output=True, text=True)
        if check and done.returncode != 0:
            raise AssertionError(done.stderr)
        return done

    def close(self):
        self.call("kill-server")

    def type(self, text, enter=True):
        self.call("send-keys", "-l", "--", text)
        if enter:
            self.key("Enter")

    def key(self, *names):
        self.call("send-keys", *names)

    def text(self):
        return self.call("capture-pane", "-p").stdout

    def until(self, pattern):
        try:
            return wait_for(lambda: re.search(pattern, self.text(), re.M), limit=40)
        except AssertionError:
            raise AssertionError("no %r on the screen:\n%s" % (pattern, self.text().rstrip()))

    def ask(self, command, pattern):
        """What a command of the shell outside prints."""
        self.key("C-l")
        self.type(command)
        return self.until(pattern)

    def state(self):
        """The line discipline, and what tmux knows of the modes."""
        settings = self.ask("stty -g; echo don''e", r"^([0-9a-f:]+)\ndone$").group(1)
        modes = self.call("display-message", "-p", "#{alternate_on} #{cursor_flag} #{insert_flag} "
                          "#{keypad_cursor_flag} #{keypad_flag} #{mouse_any_flag} #{wrap_flag} "
                          "#{scroll_region_upper} #{bracket_paste_flag}").stdout
        return settings, modes


class Terminal(MoatTest):
    def setUp(self):
        super().setUp()
        self.screen = Screen(self)
        self.addCleanup(self.screen.close)

    def run_inside(self, *command, flags=("-i",)):
        words = [MOAT, *map(str, self.run_arguments(*command, flags=flags))]
        script = self.workspace.parent / "start"
        script.write_text("#!/bin/sh\nexec %s\n" % shlex.join(words))
        os.chmod(script, 0o755)
        self.screen.type("%s; echo left $?" % script)

    def test_a_shell(self):
        before = self.screen.state()
        self.run_inside("bash", "--norc", "--noprofile")
        self.screen.until(r"^bash-[0-9.]+[$#]")
        self.screen.type("tty; stty size; echo $TERM")
        self.screen.until(r"^/dev/pts/0\n30 100\ntmux-256color$")
        # A Ctrl-C is the program's; one of these would end the run otherwise.
        # Each runs before the key is struck: bash alone would not pass it on to one that comes later.
        for turn in range(3):
            self.screen.type("(echo runn''ing %d; exec sleep 100)" % turn)
            self.screen.until(r"^running %d$" % turn)
            self.screen.key("C-c")
            self.screen.until(r"\^C[^$]*[$#]$")
            self.screen.key("C-l")
        self.screen.type("(echo runn''ing; exec sleep 100)")
        self.screen.until(r"^running$")
        self.screen.key("C-z")
        self.screen.until(r"Stopped +")
        self.screen.call("resize-window", "-x", "120", "-y", "40")
        self.screen.type("stty size")
        self.screen.until(r"^40 120$")
        self.screen.call("resize-window", "-x", "100", "-y", "30")
        self.screen.type("exit 7")
        self.screen.key("Enter")  # bash asks once more, for the job that is stopped
        self.screen.type("exit 7")
        self.screen.until(r"^left 7$")
        self.assertEqual(self.screen.state(), before)
        created = [json_line for json_line in self.events() if json_line["type"] == "run.created"][0]
        self.assertTrue(created["data"]["terminal"])

    def events(self):
        import json
        done = self.moat("audit", "show", "--json")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_vi_edits_a_file(self):
        self.screen.type("echo what was there before")
        before = self.screen.state()
        self.screen.ask("echo what was there before", r"^what was there before$")
        self.run_inside("vim.tiny", "note.txt")
        self.screen.until(r"^~$")
        self.assertNotIn("what was there before", self.screen.text())
        self.screen.type("ihello from inside", enter=False)
        self.screen.until(r"^hello from inside")
        self.screen.key("Escape")
        self.screen.type(":wq")
        self.screen.until(r"^left 0$")
        self.screen.until(r"^what was there before$")  # the alternate screen has gone
        self.assertEqual((self.workspace / "note.txt").read_text(), "hello from inside\n")
        self.assertEqual((self.workspace / "note.txt").stat().st_uid, UID)
        self.assertEqual(self.screen.state(), before)

    def test_top(self):
        self.run_inside("top", "-d", "0.2")
        self.screen.until(r"PID +USER")
        self.screen.until(r" top$| top ")
        self.screen.key("q")
        self.screen.until(r"^left 0$")

    def test_tmux_in_tmux(self):
        self.run_inside("sh", "-c", "LC_ALL=C.UTF-8 tmux -u -L inner -f /dev/null new-session 'PS1=inner-\\> sh'")
        self.screen.until(r"^inner->")
        self.screen.type("echo $((6*7)) inside")
        self.screen.until(r"^42 inside$")
        self.screen.type("exit")
        self.screen.until(r"^left 0$")

    def supervisor(self):
        def live():
            return [run["pid"] for run in self.runs()
                    if run["state"] == "running" and run["workspace"] == str(self.workspace)]
        return wait_for(live)[0]

    MESS = "printf '\\033[?1049h\\033[?25l\\033[?1000h\\033[?2004h\\033[?1h\\033='; echo messed"

    def test_a_command_that_is_killed_leaves_no_mess(self):
        before = self.screen.state()
        self.run_inside("sh", "-c", self.MESS + "; kill -9 $$")
        self.screen.until(r"^left 137$")
        self.assertEqual(self.screen.state(), before)

    def test_a_crash_leaves_no_mess(self):
        before = self.screen.state()
        self.run_inside("sh", "-c", self.MESS + "; sleep 1000")
        self.screen.until(r"^messed$")
        os.kill(self.supervisor(), signal.SIGKILL)
        self.screen.until(r"^left 137$")
        self.assertEqual(self.screen.state(), before)

    def test_it_can_be_stopped_and_continued(self):
        before = self.screen.state()
        self.run_inside("sh", "-c", self.MESS + "; read line; echo read $line; read line")
        self.screen.until(r"^messed$")
        self.screen.call("send-keys", "")
        os.kill(self.supervisor(), signal.SIGTSTP)
        self.screen.until(r"^\[1\]\+ +Stopped")
        self.assertEqual(self.screen.state(), before)
        self.screen.type("fg")
        self.screen.type("again")
        self.screen.until(r"^read again")
        self.screen.key("Enter")
        self.screen.until(r"^left 0$|^\$$")
        self.assertEqual(self.screen.state(), before)

    def test_without_input_ctrl_c_is_moats(self):
        self.run_inside("sh", "-c", "trap 'echo caught; exit 3' INT; stty size; echo ready; "
                        "while :; do sleep 0.05; done", flags=["-t"])
        self.screen.until(r"^ready$")
        self.assertRegex(self.screen.text(), r"(?m)^30 100$")
        self.screen.key("C-c")
        self.screen.until(r"^left 3$")

    def test_input_from_a_terminal_without_one(self):
        self.run_inside("sh", "-c", "test -t 0 || echo no terminal; cat", flags=["-i", "-T"])
        self.screen.until(r"^no terminal$")
        self.screen.type("a line")
        self.screen.until(r"^a line\na line$")
        self.screen.key("C-d")
        self.screen.until(r"^left 0$")


class NoTerminal(MoatTest):
    def test_a_pipe_goes_in_and_comes_out_as_it_is(self):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for i in range(20):
                data = os.urandom(100_000)
                member = tarfile.TarInfo("file-%d" % i)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        process = self.start(*self.run_arguments(
            "sh", "-c", "test -t 0 || test -t 1 || tee /dev/stderr | tar t", flags=["-i"]),
            stdin=subprocess.PIPE)
        out, err = process.communicate(packed.getvalue(), timeout=90)
        self.assertEqual(out.decode().split(), ["file-%d" % i for i in range(20)])
        self.assertTrue(err.startswith(packed.getvalue()))
        self.assertEqual(process.returncode, 0)

    def test_a_terminal_that_nobody_looks_at(self):
        done = self.run_moat("sh", "-c", "tty; stty size; echo to-err >&2", flags=["-t"])
        self.assertEqual(done.stdout.replace("\r", ""), "/dev/pts/0\n24 80\nto-err\n")
        self.assertNotIn("to-err", done.stderr)

    def test_a_keyboard_that_is_a_pipe_is_refused(self):
        done = self.moat(*self.run_arguments("cat", flags=["-it"]), input="x")
        self.assertEqual(done.returncode, 125)
        self.assertIn("standard input is no terminal", done.stderr)
        done = self.moat(*self.run_arguments("cat", flags=["-tT"]))
        self.assertEqual(done.returncode, 125)


if __name__ == "__main__":
    harness.main()
