// Request and response smuggling, by the names under which it was published: each row is sent with
// a second message behind it, which nobody may ever see as one.
#include <string>
#include <vector>

#include "core/text.h"

#include "wall.h"

using namespace moat;
using namespace moat::proxy;
using moat::test::Peer;
using moat::test::Wall;
using namespace std::string_literals;

namespace {

struct Row {
  const char* name;
  std::string bytes;
  // Of the one answer, after which the connection ends. 0: what begins like this is no HTTP, and
  // gets none; as a second request it gets 400.
  int status;
};

const std::string host = "Host: api.example.com\r\n";
const std::string post = "POST /first HTTP/1.1\r\n" + host;
const std::string get = "GET /first HTTP/1.1\r\n" + host;
const std::string chunked = post + "Transfer-Encoding: chunked\r\n\r\n";
const std::string smuggled = "GET /smuggled HTTP/1.1\r\n" + host + "\r\n";

// A request with this Transfer-Encoding line, or lines, and a body that is both chunked and none.
std::string te(const std::string& lines) {
  return post + lines + "\r\n\r\n0\r\n\r\n";
}

std::string chunk_line(const std::string& line) {
  return chunked + line + "\r\nhello\r\n0\r\n\r\n";
}

const std::vector<Row> requests = {
    // Framing twice: each of the two parsers believes another header.
    {"CL.TE", post + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", 400},
    {"TE.CL", post + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nGPOST / HT",
     400},
    {"CL.CL", post + "Content-Length: 5\r\nContent-Length: 0\r\n\r\nhello", 400},
    {"CL.CL, the same", post + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400},
    {"CL list", post + "Content-Length: 5, 5\r\n\r\nhello", 400},
    {"CL.TE, case", post + "content-length: 6\r\ntransfer-encoding: CHUNKED\r\n\r\n0\r\n\r\n", 400},
    {"CL plus sign", post + "Content-Length: +5\r\n\r\nhello", 400},
    {"CL minus sign", post + "Content-Length: -5\r\n\r\nhello", 400},
    {"CL hexadecimal", post + "Content-Length: 0x5\r\n\r\nhello", 400},
    {"CL underscore", post + "Content-Length: 1_0\r\n\r\nhello", 400},
    {"CL with a space inside", post + "Content-Length: 5 0\r\n\r\nhello", 400},
    {"CL with a parameter", post + "Content-Length: 5;x\r\n\r\nhello", 400},
    {"CL vertical tab", post + "Content-Length: \v5\r\n\r\nhello", 400},
    {"CL empty", post + "Content-Length: \r\n\r\nhello", 400},
    {"CL beyond 64 bits", post + "Content-Length: 18446744073709551621\r\n\r\nhello", 400},
    {"CL beyond 63 bits", post + "Content-Length: 9223372036854775808\r\n\r\nhello", 400},
    {"CL, name with an underscore", post + "Content_Length: 5\r\n\r\nhello", 400},
    {"CL, name with white space", post + "Content-Length : 5\r\n\r\nhello", 400},
    {"CL, name led by white space", post + " Content-Length: 5\r\n\r\nhello", 400},
    {"CL as the first folded line", "POST /first HTTP/1.1\r\n Content-Length: 5\r\n" + host, 400},
    {"CL in a CONNECT",
     "CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\nContent-Length: "
     "5\r\n\r\n"
     "hello",
     400},
    // TE.TE: one of the two parsers is made not to see it.
    {"TE xchunked", te("Transfer-Encoding: xchunked"), 400},
    {"TE chunkedx", te("Transfer-Encoding: chunkedx"), 400},
    {"TE vertical tab", te("Transfer-Encoding: \vchunked"), 400},
    {"TE vertical tab behind", te("Transfer-Encoding: chunked\v"), 400},
    {"TE form feed", te("Transfer-Encoding: \fchunked"), 400},
    {"TE NUL", te("Transfer-Encoding: chunked\0"s), 400},
    {"TE no-break space",
     te("Transfer-Encoding: \xa0"
        "chunked"),
     400},
    {"TE white space before the colon", te("Transfer-Encoding : chunked"), 400},
    {"TE tab before the colon", te("Transfer-Encoding\t: chunked"), 400},
    {"TE led by white space", te(" Transfer-Encoding: chunked"), 400},
    {"TE folded", te("Transfer-Encoding:\r\n chunked"), 400},
    {"TE folded into another header", te("X: y\r\n\tTransfer-Encoding: chunked"), 400},
    {"TE behind a bare CR", te("X: y\rTransfer-Encoding: chunked"), 400},
    {"TE behind a bare LF", te("X: y\nTransfer-Encoding: chunked"), 400},
    {"TE name broken by LF", te("Transfer-Encoding\n: chunked"), 400},
    {"TE twice", te("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), 400},
    {"TE and a cow", te("Transfer-Encoding: chunked\r\nTransfer-encoding: cow"), 400},
    {"TE identity first", te("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"), 400},
    {"TE list", te("Transfer-Encoding: identity, chunked"), 400},
    {"TE gzip, chunked", te("Transfer-Encoding: gzip, chunked"), 400},
    {"TE chunked, chunked", te("Transfer-Encoding: chunked, chunked"), 400},
    {"TE trailing comma", te("Transfer-Encoding: chunked,"), 400},
    {"TE leading comma", te("Transfer-Encoding: ,chunked"), 400},
    {"TE quoted", te("Transfer-Encoding: \"chunked\""), 400},
    {"TE with a parameter", te("Transfer-Encoding: chunked;q=1"), 400},
    {"TE identity", te("Transfer-Encoding: identity"), 400},
    {"TE empty", te("Transfer-Encoding: "), 400},
    {"TE, name with an underscore", te("Transfer_Encoding: chunked"), 400},
    {"TE, name with a NUL", te("Transfer-Encoding\0: chunked"s), 400},
    {"TE in HTTP/1.0", "POST / HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     400},
    // Chunks that end in two places.
    {"chunk size 0x", chunk_line("0x5"), 400},
    {"chunk size with a sign", chunk_line("+5"), 400},
    {"chunk size negative", chunk_line("-5"), 400},
    {"chunk size led by a space", chunk_line(" 5"), 400},
    {"chunk size led by a tab", chunk_line("\t5"), 400},
    {"chunk size with a space behind", chunk_line("5 "), 400},
    {"chunk size with an underscore", chunk_line("0_5"), 400},
    {"chunk size empty", chunk_line(""), 400},
    {"chunk size with a comma", chunk_line("5,"), 400},
    {"chunk size with a NUL", chunk_line("5\0"s), 400},
    {"chunk size of 17 digits", chunk_line("00000000000000005"), 400},
    {"chunk size that wraps around", chunk_line("10000000000000005"), 400},
    {"chunk size beyond 63 bits", chunk_line("8000000000000005"), 400},
    {"chunk line ends with LF", chunked + "5\nhello\r\n0\r\n\r\n", 400},
    {"chunk line ends with CR", chunked + "5\rXhello\r\n0\r\n\r\n", 400},
    {"chunk line with a CR before the CRLF", chunk_line("5\r"), 400},
    {"chunk extension with LF (TERM.EXT)", chunked + "5;\nx\r\nhello\r\n0\r\n\r\n", 400},
    {"chunk extension with CR", chunk_line("5;a=\rb"), 400},
    {"chunk extension with NUL", chunk_line("5;a=\0b"s), 400},
    {"chunk extension without a semicolon", chunk_line("5 a"), 400},
    {"chunk extension too long", chunk_line("5;" + std::string(300, 'x')), 413},
    {"chunk longer than its size (SPILL.TERM)", chunked + "5\r\nhelloXX\r\n0\r\n\r\n", 400},
    {"chunk with another end", chunked + "5\r\nhelloXY0\r\n\r\n", 400},
    {"chunk data ends with LF", chunked + "5\r\nhello\n0\r\n\r\n", 400},
    {"last chunk ends with LF", chunked + "0\n\n", 400},
    {"no CRLF behind the last chunk", chunked + "0\r\n", 400},
    {"trailers end with LF", chunked + "0\r\nX: y\n\n", 400},
    {"trailer Content-Length", chunked + "0\r\nContent-Length: 50\r\n\r\n", 400},
    {"trailer Transfer-Encoding", chunked + "0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"trailer Host", chunked + "0\r\nHost: evil.example.org\r\n\r\n", 400},
    {"trailer Authorization", chunked + "0\r\nAuthorization: x\r\n\r\n", 400},
    {"trailer folded", chunked + "0\r\nX: y\r\n z\r\n\r\n", 400},
    {"trailer without a colon", chunked + "0\r\nXY\r\n\r\n", 400},
    // Names and values.
    {"header without a colon", get + "Foo\r\n\r\n", 400},
    {"header without a name", get + ": foo\r\n\r\n", 400},
    {"header name with NUL", get + "Fo\0o: x\r\n\r\n"s, 400},
    {"header name with a space inside", get + "Foo Bar: x\r\n\r\n", 400},
    {"header name with a bracket", get + "Foo[]: x\r\n\r\n", 400},
    {"header name with a high byte", get + "Fo\xc3\xb6: x\r\n\r\n", 400},
    {"header name with CR", get + "Foo\r: x\r\n\r\n", 400},
    {"header value with NUL", get + "Foo: x\0y\r\n\r\n"s, 400},
    {"header value with CR", get + "Foo: x\ry\r\n\r\n", 400},
    {"header value with DEL", get + "Foo: x\x7fy\r\n\r\n", 400},
    {"header value with escape", get + "Foo: x\x1b[0m\r\n\r\n", 400},
    {"header ends with LF", get + "Foo: x\n\r\n", 400},
    {"headers end with LF", get + "Foo: x\r\n\n", 400},
    {"headers end with CR CR LF", get + "Foo: x\r\n\r\r\n", 400},
    {"header folded", get + "Foo: x\r\n y\r\n\r\n", 400},
    // Routing.
    {"no Host", "GET /first HTTP/1.1\r\n\r\n", 400},
    {"Host empty", "GET /first HTTP/1.1\r\nHost: \r\n\r\n", 400},
    {"Host twice", get + host + "\r\n", 400},
    {"Host twice, another", get + "Host: evil.example.org\r\n\r\n", 400},
    {"Host twice, folded", get + " Host: evil.example.org\r\n\r\n", 400},
    {"Host list", "GET / HTTP/1.1\r\nHost: api.example.com, evil.example.org\r\n\r\n", 400},
    {"Host with user information", "GET / HTTP/1.1\r\nHost: api.example.com@evil.org\r\n\r\n", 400},
    {"Host with a path", "GET / HTTP/1.1\r\nHost: api.example.com/x\r\n\r\n", 400},
    {"Host with a port of letters", "GET / HTTP/1.1\r\nHost: api.example.com:80x\r\n\r\n", 400},
    {"Host with a space", "GET / HTTP/1.1\r\nHost: api.example.com evil\r\n\r\n", 400},
    {"Host, name with an underscore", get + "Ho_st: x\r\nHost : y\r\n\r\n", 400},
    {"whole URL for another Host", "GET http://evil.example.org/ HTTP/1.1\r\n" + host + "\r\n",
     400},
    {"whole URL with user information",
     "GET http://api.example.com@evil.example.org/ HTTP/1.1\r\n" + host + "\r\n", 400},
    {"whole URL of another scheme", "GET ftp://api.example.com/ HTTP/1.1\r\n" + host + "\r\n", 400},
    // Request lines.
    {"HTTP/0.9", "GET /first\r\n", 400},
    {"HTTP/0.9, bare", "GET /first\n", 400},
    {"HTTP/1.1 and a space", "GET /first HTTP/1.1 \r\n" + host + "\r\n", 400},
    {"HTTP/1.2", "GET /first HTTP/1.2\r\n" + host + "\r\n", 400},
    {"HTTP/2.0", "GET /first HTTP/2.0\r\n" + host + "\r\n", 400},
    {"HTTP/1.10", "GET /first HTTP/1.10\r\n" + host + "\r\n", 400},
    {"http/1.1", "GET /first http/1.1\r\n" + host + "\r\n", 400},
    {"HTTP/ 1.1", "GET /first HTTP/ 1.1\r\n" + host + "\r\n", 400},
    {"a space inside the target", "GET /first HTTP/1.1 x HTTP/1.1\r\n" + host + "\r\n", 400},
    {"two spaces behind the method", "GET  /first HTTP/1.1\r\n" + host + "\r\n", 400},
    {"a tab behind the method", "GET\t/first HTTP/1.1\r\n" + host + "\r\n", 0},
    {"a space before the method", " GET /first HTTP/1.1\r\n" + host + "\r\n", 0},
    {"two empty lines before the request", "\r\n\r\nGET /first HTTP/1.1\r\n" + host + "\r\n", 0},
    {"an LF before the request", "\nGET /first HTTP/1.1\r\n" + host + "\r\n", 0},
    {"a method with a control character", "G\x01T /first HTTP/1.1\r\n" + host + "\r\n", 0},
    {"a method with a NUL", "GET\0 /first HTTP/1.1\r\n"s + host + "\r\n", 0},
    {"a method in lower case", "get /first HTTP/1.1\r\n" + host + "\r\n", 400},
    {"a method in mixed case", "Head /first HTTP/1.1\r\n" + host + "\r\n", 400},
    {"a target with a fragment", "GET /first#x HTTP/1.1\r\n" + host + "\r\n", 400},
    {"a target with a NUL", "GET /fi\0rst HTTP/1.1\r\n"s + host + "\r\n", 400},
    {"a target without a slash", "GET first HTTP/1.1\r\n" + host + "\r\n", 400},
    {"an asterisk but not for OPTIONS", "GET * HTTP/1.1\r\n" + host + "\r\n", 400},
    // Expectations that one parser sees and the other does not.
    {"Expect y 100-continue", post + "Expect: y 100-continue\r\nContent-Length: 5\r\n\r\nhello",
     400},
    {"Expect a list", post + "Expect: 100-continue, x\r\nContent-Length: 5\r\n\r\nhello", 400},
    {"Expect twice",
     post + "Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", 400},
    {"Expect something else", post + "Expect: 200-ok\r\nContent-Length: 5\r\n\r\nhello", 400},
};

bool smuggled_to(const Wall& t) {
  for (const auto& peer : t.origin.peers) {
    if (peer->has("/smuggled")) return true;
  }
  return false;
}

bool refused(Wall& t, Peer& agent, const Row& row, int expected) {
  agent.received.clear();
  agent.say(row.bytes + smuggled + smuggled);
  const std::string status = "HTTP/1.1 " + std::to_string(expected) + " ";
  const bool ended = t.until([&] { return agent.gone(); });
  const bool told = agent.received.compare(0, status.size(), status) == 0 &&
                    agent.has("\r\nConnection: close\r\n") && !agent.has("\nHTTP/1.1 ");
  const bool right = ended && !smuggled_to(t) && (expected == 0 ? agent.received.empty() : told);
  if (!right) print_error("%s: %s\n", row.name, agent.received.c_str());
  return right;
}

void what_two_parsers_read_differently_is_refused_and_ends_the_connection(Wall& t) {
  t.origin.script = [](Peer&) {};  // never answers, and keeps all that it got
  bool all = true;
  for (const Row& row : requests) {
    Peer& agent = t.connect("api.example.com", 80);
    all = refused(t, agent, row, row.status) && all;
  }
  assert_true(all);
}

void behind_a_good_request_it_is_refused_as_well(Wall& t) {
  const std::string good = "GET /good HTTP/1.1\r\n" + host + "\r\n";
  t.origin.script = [&good](Peer& peer) {
    if (peer.received == good) peer.transport.write("HTTP/1.1 204 No Content\r\n\r\n");
    if (peer.received == good) peer.received.clear();
  };
  bool all = true;
  for (const Row& row : requests) {
    Peer& agent = t.connect("api.example.com", 80);
    agent.say(good);
    assert_true(t.until_has(agent, "204 No Content\r\n\r\n"));
    all = refused(t, agent, row, row.status == 0 ? 400 : row.status) && all;
  }
  assert_true(all);
}

struct Passing {
  const char* name;
  std::string bytes;
  std::string becomes;
};

// What only looks dangerous passes, in the one form that cannot be misread.
const std::string sent_post = "POST /first HTTP/1.1\r\n" + host;
const std::vector<Passing> passing = {
    {"TE in capitals", te("Transfer-Encoding: CHUNKED"),
     sent_post + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {"TE behind a tab", te("Transfer-Encoding:\tchunked"),
     sent_post + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {"TE without white space", te("Transfer-Encoding:chunked  "),
     sent_post + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {"chunk size with leading zeros", chunk_line("0000000000000005"),
     sent_post + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
    {"chunk extension", chunk_line("5;a=b;c=\"d\""),
     sent_post + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
    {"CL.0: the body goes with its request", post + "Content-Length: 5\r\n\r\nhello",
     sent_post + "Content-Length: 5\r\n\r\nhello"},
    {"0.CL: no body is no body", post + "Content-Length: 0\r\n\r\n",
     sent_post + "Content-Length: 0\r\n\r\n"},
    {"a GET with a body", get + "Content-Length: 5\r\n\r\nhello",
     get + "Content-Length: 5\r\n\r\nhello"},
    {"an underscore in a name", get + "X_Forwarded-For: 1\r\nX-Forwarded_For: 2\r\n\r\n",
     get + "X_Forwarded-For: 1\r\nX-Forwarded_For: 2\r\n\r\n"},
    {"Connection names the framing",
     post + "Connection: content-length\r\nContent-Length: 2\r\n\r\nab",
     sent_post + "Content-Length: 2\r\n\r\nab"},
    {"Connection names Host", get + "Connection: Host\r\n\r\n", get + "\r\n"},
    {"one empty line before the request", "\r\n" + get + "\r\n", get + "\r\n"},
    {"an unknown method", "PURGE /first HTTP/1.1\r\n" + host + "\r\n",
     "PURGE /first HTTP/1.1\r\n" + host + "\r\n"},
    {"a whole URL", "GET http://api.example.com/first HTTP/1.1\r\n" + host + "\r\n", get + "\r\n"},
};

void what_only_looks_dangerous_passes_in_one_form(Wall& t) {
  t.origin.script = [](Peer&) {};
  for (const Passing& row : passing) {
    Peer& agent = t.connect("api.example.com", 80);
    agent.say(row.bytes + smuggled);
    const auto got = [&] { return t.origin.peers.empty() ? "" : t.origin.peers.back()->received; };
    const bool right = t.until([&] { return got() == row.becomes; });
    if (!right) print_error("%s: %s, %s\n", row.name, got().c_str(), agent.received.c_str());
    assert_true(right);
    // The second request waits for the first one's answer, on whichever connection.
    t.origin.peers.back()->received.clear();
    t.origin.peers.back()->transport.write("HTTP/1.1 204 No Content\r\n\r\n");
    assert_true(t.until([&] { return got() == smuggled; }));
    agent.transport.close();
    t.origin.peers.clear();
  }
}

struct Answer {
  const char* name;
  const char* method;
  std::string bytes;
};

const std::string poison = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned";
const std::vector<Answer> answers = {
    {"two Content-Lengths", "GET",
     "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 9\r\n\r\n"},
    {"the same twice", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n"},
    {"a list of lengths", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0, 0\r\n\r\n"},
    {"a signed length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: +0\r\n\r\n"},
    {"CL and TE", "GET",
     "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {"TE xchunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"},
    {"TE twice", "GET",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
     "chunked\r\n\r\n0\r\n\r\n"},
    {"TE gzip, chunked", "GET",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
    {"TE in HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {"TE on 204", "GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {"CL on 204", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello"},
    {"TE on 100", "GET", "HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {"CL on 103", "GET", "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nhello"},
    {"CL and TE to HEAD", "HEAD",
     "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"},
    {"a header without a colon", "GET", "HTTP/1.1 200 OK\r\nContent-Length\r\n\r\n"},
    {"a header with white space before the colon", "GET",
     "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n"},
    {"a folded header", "GET", "HTTP/1.1 200 OK\r\nX: y\r\n Content-Length: 0\r\n\r\n"},
    {"a name with an underscore", "GET", "HTTP/1.1 200 OK\r\nContent_Length: 0\r\n\r\n"},
    {"a header ended by LF", "GET", "HTTP/1.1 200 OK\r\nX: y\nContent-Length: 0\r\n\r\n"},
    {"a CR in a header", "GET", "HTTP/1.1 200 OK\r\nX: y\rContent-Length: 0\r\n\r\n"},
    {"a NUL in a header", "GET", "HTTP/1.1 200 OK\r\nX: y\0\r\nContent-Length: 0\r\n\r\n"s},
    {"a status of two digits", "GET", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"},
    {"a status of four digits", "GET", "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"},
    {"a status with a sign", "GET", "HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n"},
    {"no version", "GET", "200 OK\r\nContent-Length: 0\r\n\r\n"},
    {"HTTP/0.9", "GET", "hello\r\n\r\n"},
    {"HTTP/2.0", "GET", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"},
    {"an empty line first", "GET", "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
    {"101 unasked", "GET", "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"},
    {"407", "GET", "HTTP/1.1 407 Login\r\nContent-Length: 0\r\n\r\n"},
    {"interim responses without end", "GET",
     [] {
       std::string flood;
       for (int i = 0; i < 5000; ++i) flood += "HTTP/1.1 102 Processing\r\n\r\n";
       return flood;
     }()},
};

void an_answer_that_could_be_two_is_a_502_and_its_connection_is_not_used_again(Wall& t) {
  for (const Answer& row : answers) {
    t.origin.answers = {row.bytes + poison,
                        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfine"};
    Peer& agent = t.connect("api.example.com", 80);
    const int accepted = t.origin.accepted;
    agent.say(std::string(row.method) + " /first HTTP/1.1\r\n" + host + "\r\n");
    bool right = t.until([&] { return agent.has("HTTP/1.1 502 Bad Gateway\r\n"); });
    agent.say("GET /second HTTP/1.1\r\n" + host + "\r\n");
    right = right && t.until([&] { return agent.has("\r\n\r\nfine"); });
    right = right && !agent.has("poisoned") && t.origin.accepted == accepted + 2;
    if (!right) print_error("%s: %s\n", row.name, agent.received.c_str());
    assert_true(right);
    agent.transport.close();
  }
}

// Those whose head is good, and whose body is not: the agent sees that it has not all.
void a_body_that_is_broken_off_is_seen_to_be(Wall& t) {
  const std::string head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  const std::string bodies[] = {"0x5\r\nhello\r\n0\r\n\r\n",      "5\nhello\r\n0\r\n\r\n",
                                "5\r\nhelloXX0\r\n\r\n",          "5;\nx\r\nhello\r\n0\r\n\r\n",
                                "0\r\nContent-Length: 3\r\n\r\n", "5 \r\nhello\r\n0\r\n\r\n",
                                "fffffffffffffffff\r\nhello",     "0\r\nX\r\n\r\n"};
  for (const std::string& body : bodies) {
    t.origin.answers = {head + body + poison};
    Peer& agent = t.connect("api.example.com", 80);
    agent.say(get + "\r\n");
    const bool ended = t.until([&] { return agent.gone(); });
    const bool right = ended && !agent.has("\r\n0\r\n") && !agent.has("poisoned");
    if (!right) print_error("%s: %s\n", printable(body).c_str(), agent.received.c_str());
    assert_true(right);
  }
}

void what_an_origin_says_unasked_is_nobodys_answer(Wall& t) {
  t.origin.answers = {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + poison,
                      "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"};
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(get + "\r\n");
  assert_true(t.until_has(agent, "\r\n\r\nok"));
  agent.say(get + "\r\n");
  assert_true(t.until_has(agent, "\r\n\r\nfine"));
  assert_false(agent.has("poisoned"));
  assert_int_equal(t.origin.accepted, 2);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Wall, what_two_parsers_read_differently_is_refused_and_ends_the_connection),
      MOAT_TEST(Wall, behind_a_good_request_it_is_refused_as_well),
      MOAT_TEST(Wall, what_only_looks_dangerous_passes_in_one_form),
      MOAT_TEST(Wall, an_answer_that_could_be_two_is_a_502_and_its_connection_is_not_used_again),
      MOAT_TEST(Wall, a_body_that_is_broken_off_is_seen_to_be),
      MOAT_TEST(Wall, what_an_origin_says_unasked_is_nobodys_answer),
  };
  return cmocka_run_group_tests_name("proxy/smuggling", tests, nullptr, nullptr);
}
