#include "proxy/http1.h"

#include <cstdint>
#include <cstring>
#include <string>

#include "http1_log.h"
#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;
using moat::test::Nothing;

namespace {

constexpr auto requests = Http1Reader::Role::requests;
constexpr auto responses = Http1Reader::Role::responses;

struct Case {
  const char* bytes;
  const char* log;
  const char* method = "GET";
};

#define GET_X "GET / HTTP/1.1\r\nHost: x\r\n"
#define POST_X "POST / HTTP/1.1\r\nHost: x\r\n"
#define CHUNKED POST_X "Transfer-Encoding: chunked\r\n\r\n"

constexpr Case good_requests[] = {
    {GET_X "\r\n", "GET |x|/ 1.1 none\nend\n"},
    {"\r\n" GET_X "\r\n", "GET |x|/ 1.1 none\nend\n"},
    {GET_X "A:b\r\nC: \t d e \t\r\n\r\n" GET_X "\r\n",
     "GET |x|/ 1.1 none\n A=b\n C=d e\nend\nGET |x|/ 1.1 none\nend\n"},
    {"GET / HTTP/1.0\r\n\r\n", "GET ||/ 1.0 none\nend\n"},
    {"GET /a?b=c|d HTTP/1.1\r\nhOST: X.y:80\r\n\r\n", "GET |X.y:80|/a?b=c|d 1.1 none\nend\n"},
    {POST_X "Content-Length: 3\r\n\r\nabc" GET_X "\r\n",
     "POST |x|/ 1.1 3\n Content-Length=3\nbody:abc\nend\nGET |x|/ 1.1 none\nend\n"},
    {POST_X "Content-Length: 0\r\n\r\n", "POST |x|/ 1.1 0\n Content-Length=0\nend\n"},
    {CHUNKED "3\r\nabc\r\nA;x=\"y\"\r\n0123456789\r\n0\r\n\r\n" GET_X "\r\n",
     "POST |x|/ 1.1 chunked\n Transfer-Encoding=chunked\nbody:abc0123456789\nend\n"
     "GET |x|/ 1.1 none\nend\n"},
    {CHUNKED "1\r\na\r\n000\r\nX-Sum: 1\r\nY: 2\r\n\r\n",
     "POST |x|/ 1.1 chunked\n Transfer-Encoding=chunked\nbody:a\n trailer X-Sum=1\n trailer Y=2\n"
     "end\n"},
    {POST_X "transfer-encoding:\tCHUNKED\r\n\r\n0\r\n\r\n",
     "POST |x|/ 1.1 chunked\n transfer-encoding=CHUNKED\nend\n"},
    {"GET http://x/a HTTP/1.1\r\nHost: X\r\n\r\n", "GET http|x|/a 1.1 none\nend\n"},
    {"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", "CONNECT |x:443| 1.1 none\nend\n"},
    {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "OPTIONS |x|* 1.1 none\nend\n"},
    {GET_X "A: \xc3\xa9\xff\r\n\r\n", "GET |x|/ 1.1 none\n A=\xc3\xa9\xff\nend\n"},
    {GET_X "Empty:\r\n\r\n", "GET |x|/ 1.1 none\n Empty=\nend\n"},
    {GET_X, "cut\n"},
    {POST_X "Content-Length: 3\r\n\r\nab", "POST |x|/ 1.1 3\n Content-Length=3\nbody:ab\ncut\n"},
    {CHUNKED "3\r\nabc\r\n", "POST |x|/ 1.1 chunked\n Transfer-Encoding=chunked\nbody:abc\ncut\n"},
    {CHUNKED "3\r\nabc\r\n0\r\n",
     "POST |x|/ 1.1 chunked\n Transfer-Encoding=chunked\nbody:abc\ncut\n"},
};

constexpr Case good_responses[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 404 Not Found\r\n"
     "Content-Length: 0\r\n\r\n",
     "200 OK 2\n Content-Length=2\nbody:ab\nend\n404 Not Found 0\n Content-Length=0\nend\n"},
    {"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "200  0\n Content-Length=0\nend\n"},
    {"HTTP/1.1 200 \r\n\r\nabc", "200  until close\nbody:abc\nend\n"},
    {"HTTP/1.0 200 OK\r\n\r\n", "200 OK until close\nend\n"},
    {"HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
     "204 No none\n Content-Length=0\nend\n200 OK 0\n Content-Length=0\nend\n"},
    {"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
     "304 Not Modified none\n Transfer-Encoding=chunked\nend\n"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "200 OK none\n Content-Length=9\nend\n",
     "HEAD"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x\r\nabcd\r\n0\r\nT: 1\r\n\r\n",
     "200 OK chunked\n Transfer-Encoding=chunked\nbody:abcd\n trailer T=1\nend\n"},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
     "100 Continue none\n103 Early Hints none\n Link=a\n200 OK 1\n "
     "Content-Length=1\nbody:x\nend\n"},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
     "100 Continue none\n200 OK none\n Content-Length=7\nend\n", "HEAD"},
    {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nHTTP/1.1 200 OK",
     "101 Switching Protocols none\n Upgrade=x\nend\nleft:HTTP/1.1 200 OK\n"},
    {"HTTP/1.1 200 Connected\r\nContent-Length: 5\r\n\r\nabcde",
     "200 Connected none\n Content-Length=5\nend\nleft:abcde\n", "CONNECT"},
    {"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nab",
     "403 No 2\n Content-Length=2\nbody:ab\nend\n", "CONNECT"},
    {"HTTP/1.1 999 Odd \xe9\r\nContent-Length: 0\r\n\r\n",
     "999 Odd \xe9 0\n Content-Length=0\nend\n"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
     "200 OK 3\n Content-Length=3\nbody:ab\ncut\n"},
};

// The families by which one parser is made to see a request where another sees a body.
constexpr const char* smuggling[] = {
    // CL.TE, TE.CL, CL.CL, TE.TE
    POST_X "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
    POST_X "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n12\r\nGPOST / HTTP/1.1\r\n\r\n",
    POST_X "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    POST_X "Content-Length: 1\r\ncontent-length: 1\r\n\r\na",
    POST_X "Content-Length: 1, 1\r\n\r\na",
    POST_X "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    POST_X "Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n\r\n0\r\n\r\n",
    POST_X "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    POST_X "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    POST_X "Transfer-Encoding: identity\r\n\r\n",
    POST_X "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    POST_X "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
    POST_X "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
    POST_X
    "Transfer-Encoding: \x0b"
    "chunked\r\n\r\n0\r\n\r\n",
    POST_X
    "Transfer-Encoding: \x7f"
    "chunked\r\n\r\n0\r\n\r\n",
    POST_X
    "Transfer-Encoding:\xa0"
    "chunked\r\n\r\n0\r\n\r\n",
    POST_X "Transfer-Encoding\x0b: chunked\r\n\r\n0\r\n\r\n",
    POST_X "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    POST_X "Transfer-Encoding: \r\n\r\n0\r\n\r\n",
    POST_X "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    POST_X "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    POST_X " Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    POST_X "X: X\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    POST_X "X: X\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    // numbers that are read in more than one way
    POST_X "Content-Length: +1\r\n\r\na",
    POST_X "Content-Length: -1\r\n\r\na",
    POST_X "Content-Length: 0x1\r\n\r\na",
    POST_X "Content-Length: 1 1\r\n\r\na",
    POST_X "Content-Length: 1_0\r\n\r\n",
    POST_X "Content-Length: 1.0\r\n\r\n",
    POST_X "Content-Length: \r\n\r\n",
    POST_X "Content-Length: 9223372036854775808\r\n\r\n",
    POST_X "Content-Length: 18446744073709551617\r\n\r\n",
    POST_X "Content-Length: 00000000000000000001\r\n\r\n",
    POST_X "Content-Length : 1\r\n\r\na",
    // chunks
    CHUNKED "0x3\r\nabc\r\n0\r\n\r\n",
    CHUNKED "+3\r\nabc\r\n0\r\n\r\n",
    CHUNKED "-1\r\nabc\r\n0\r\n\r\n",
    CHUNKED " 3\r\nabc\r\n0\r\n\r\n",
    CHUNKED "3 \r\nabc\r\n0\r\n\r\n",
    CHUNKED "3 x\r\nabc\r\n0\r\n\r\n",
    CHUNKED "3,x\r\nabc\r\n0\r\n\r\n",
    CHUNKED "\r\nabc\r\n0\r\n\r\n",
    CHUNKED ";x\r\nabc\r\n0\r\n\r\n",
    CHUNKED "g\r\nabc\r\n0\r\n\r\n",
    CHUNKED "10000000000000003\r\nabc\r\n0\r\n\r\n",
    CHUNKED "fffffffffffffffd\r\nabc\r\n0\r\n\r\n",
    CHUNKED "8000000000000000\r\nabc\r\n0\r\n\r\n",
    CHUNKED "3\nabc\r\n0\r\n\r\n",
    CHUNKED "3;a\nb\r\nabc\r\n0\r\n\r\n",
    CHUNKED "3;a\rb\r\nabc\r\n0\r\n\r\n",
    CHUNKED "3\r\r\nabc\r\n0\r\n\r\n",
    CHUNKED "3\r\nabc0\r\n\r\n",
    CHUNKED "3\r\nabc\n0\r\n\r\n",
    CHUNKED "3\r\nabc\r0\r\n\r\n",
    CHUNKED "3\r\nabcd\r\n0\r\n\r\n",
    CHUNKED "0\r\nX: y\n\r\n",
    CHUNKED "0\n\r\n",
    CHUNKED "0\r\n\n",
    CHUNKED "0\r\nContent-Length: 5\r\n\r\n",
    CHUNKED "0\r\nTransfer-Encoding: chunked\r\n\r\n",
    CHUNKED "0\r\nHost: y\r\n\r\n",
    CHUNKED "0\r\nAuthorization: y\r\n\r\n",
    CHUNKED "0\r\n folded\r\n\r\n",
    CHUNKED "0\r\nno colon\r\n\r\n",
    // line ends
    "GET / HTTP/1.1\nHost: x\n\n",
    "GET / HTTP/1.1\r\nHost: x\r\n\n",
    "GET / HTTP/1.1\r\nHost: x\n\r\n",
    "\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "\r\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET / HTTP/1.1\r\r\nHost: x\r\n\r\n",
    // the first line
    "GET /\r\nHost: x\r\n\r\n",
    "GET\r\nHost: x\r\n\r\n",
    "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET / HTTP/1.1 \r\nHost: x\r\n\r\n",
    "GET /  HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n",
    " GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /a\tb HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /a\rb HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /#a HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /\x7f HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET / http/1.1\r\nHost: x\r\n\r\n",
    "GET / HTTP/1.2\r\nHost: x\r\n\r\n",
    "GET / HTTP/2.0\r\nHost: x\r\n\r\n",
    "GET / HTTP/1.10\r\nHost: x\r\n\r\n",
    "GET / HTTP/01.1\r\nHost: x\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\n",
    "G(T / HTTP/1.1\r\nHost: x\r\n\r\n",
    // headers
    GET_X "A b: c\r\n\r\n",
    GET_X "A\r\n\r\n",
    GET_X ": c\r\n\r\n",
    GET_X "A\xe9: c\r\n\r\n",
    GET_X "A: b\r\n c\r\n\r\n",
    GET_X "A: b\r\n\tc\r\n\r\n",
    GET_X "A: b\x01\r\n\r\n",
    GET_X "A: b\x7f\r\n\r\n",
    GET_X "A: b\x1b[2J\r\n\r\n",
    "GET / HTTP/1.1\r\n folded: x\r\nHost: x\r\n\r\n",
    // who is meant
    "GET / HTTP/1.1\r\n\r\n",
    GET_X "Host: x\r\n\r\n",
    GET_X "host: y\r\n\r\n",
    "GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
    "GET http://x/ HTTP/1.1\r\nHost: y\r\n\r\n",
    "GET http://x:81/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET http://a@x/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET x/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET * HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT x HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT / HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT x:443 HTTP/1.1\r\nHost: y:443\r\n\r\n",
    "CONNECT x:443 HTTP/1.1\r\nHost: x:444\r\n\r\n",
    "CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\nContent-Length: 1\r\n\r\na",
    "CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\nTransfer-Encoding: chunked\r\n\r\n",
};

constexpr const char* bad_responses[] = {
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 204 OK\r\nContent-Length: x\r\n\r\n",
    "HTTP/1.1 204 OK\r\nContent-Length: 5\r\n\r\n",
    "HTTP/1.1 204 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 100 OK\r\nContent-Length: 5\r\n\r\n",
    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    "HTTP/1.1 20 OK\r\n\r\n",
    "HTTP/1.1 2000 OK\r\n\r\n",
    "HTTP/1.1 099 OK\r\n\r\n",
    "HTTP/1.1 +20 OK\r\n\r\n",
    "HTTP/1.1  200 OK\r\n\r\n",
    "HTTP/1.1\r\n\r\n",
    "HTTP/1.1 200 O\x01K\r\n\r\n",
    "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "HTTP/2 200 OK\r\n\r\n",
    "ICY 200 OK\r\n\r\n",
    "\r\nHTTP/1.1 200 OK\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
};

void check_good(Http1Reader::Role role, const Case& c) {
  static std::string got;
  got = read_messages(role, c.bytes, SIZE_MAX, SIZE_MAX, c.method);
  if (got != c.log) print_error("for\n%s\ngot\n%s\n", c.bytes, got.c_str());
  assert_string_equal(got.c_str(), c.log);
  assert_true(same_however_cut(role, c.bytes, c.method));
}

// Nothing at all is told of the message that is refused but its head, when the body is at fault.
void check_bad(Http1Reader::Role role, const char* bytes) {
  static std::string got;
  got = read_messages(role, bytes);
  const bool refused = ends_with_ignoring_case(got, "invalid\n");
  const bool ended = got.find("end\n") != std::string::npos;
  if (!refused || ended) print_error("for\n%s\ngot\n%s\n", bytes, got.c_str());
  assert_true(refused);
  assert_false(ended);
  assert_true(same_however_cut(role, bytes));
}

}  // namespace

static void good_requests_are_read_however_they_are_cut(Nothing&) {
  for (const Case& c : good_requests) check_good(requests, c);
}

static void good_responses_are_read_however_they_are_cut(Nothing&) {
  for (const Case& c : good_responses) check_good(responses, c);
}

static void smuggled_requests_are_refused_however_they_are_cut(Nothing&) {
  for (const char* bytes : smuggling) check_bad(requests, bytes);
}

static void responses_of_two_readings_are_refused(Nothing&) {
  for (const char* bytes : bad_responses) check_bad(responses, bytes);
}

static void a_nul_is_refused_wherever_it_stands(Nothing&) {
  static const std::string good(POST_X
                                "Transfer-Encoding: chunked\r\nA: b\r\n\r\n1;x\r\n"
                                "a\r\n0\r\nT: u\r\n\r\n");
  const size_t body = good.find("\r\na\r\n") + 2;
  for (size_t at = 0; at < good.size(); ++at) {
    if (at == body) continue;  // data may be anything
    std::string bad = good;
    bad[at] = '\0';
    const std::string got = read_messages(requests, bad);
    const bool refused =
        ends_with_ignoring_case(got, "invalid\n") || ends_with_ignoring_case(got, "cut\n");
    if (!refused) print_error("NUL at %zu: %s\n", at, got.c_str());
    std::string().swap(bad);
    assert_true(refused);
  }
}

static void limits_are_said_in_words_that_tell_which(Nothing&) {
  Http1Log log;
  Http1Limits limits;
  limits.head_bytes = 200;
  limits.target_bytes = 50;
  limits.header_count = 3;
  limits.trailer_bytes = 40;
  limits.chunk_line_bytes = 10;
  const auto message = [&](const std::string& bytes) {
    Http1Reader reader(requests, log, limits);
    const auto fed = reader.feed(bytes);
    const std::string said = fed ? "fine" : fed.error().message;
    return !fed && fed.error().code != Errc::too_large ? "code" : said;
  };
  const std::string x(100, 'x');
  assert_true(message("GET /" + x + " HTTP/1.1\r\nHost: x\r\n\r\n").find("target") != SIZE_MAX);
  assert_true(message("GET /" + x + x + x).find("target") != SIZE_MAX);
  assert_true(message(GET_X "A: " + x + x + x).find("headers are larger") != SIZE_MAX);
  assert_true(message(GET_X "A: 1\r\nB: 1\r\n\r\n") == "fine");
  assert_true(message(GET_X "A: 1\r\nB: 1\r\nC: 1\r\n\r\n").find("more than 3 headers") !=
              SIZE_MAX);
  assert_true(message(CHUNKED "1;xxxxxxx\r\na\r\n").find("chunk") != SIZE_MAX);
  assert_true(message(CHUNKED "1;xxxxxxx").find("chunk") == SIZE_MAX);
  assert_true(message(CHUNKED "1;xxxxxxxx").find("chunk") != SIZE_MAX);
  assert_true(message(CHUNKED "0\r\nA: " + x).find("trailers") != SIZE_MAX);
}

namespace {

// Stops in whichever callback it is told to.
struct Holder : Http1Log {
  Http1Reader* reader = nullptr;
  std::string hold_in;
  bool tunnel = false;

  void maybe(const char* callback) {
    if (hold_in == callback) reader->hold();
  }
  Result<void> on_request(RequestHead head, BodyLength length) override {
    maybe("request");
    return Http1Log::on_request(std::move(head), length);
  }
  Result<void> on_response(ResponseHead head, BodyLength length) override {
    if (tunnel) reader->become_tunnel();
    return Http1Log::on_response(std::move(head), length);
  }
  Result<void> on_body(std::string_view bytes) override {
    maybe("body");
    return Http1Log::on_body(bytes);
  }
  Result<void> on_message_end() override {
    maybe("end");
    return Http1Log::on_message_end();
  }
};

struct HoldTest {
  Holder log;
  Http1Reader reader{requests, log};
  std::string two = POST_X "Content-Length: 4\r\n\r\nabcd" GET_X "\r\n";

  HoldTest() { log.reader = &reader; }
  size_t feed(std::string_view bytes) {
    const auto fed = reader.feed(bytes);
    return fed ? *fed : SIZE_MAX;
  }
};

}  // namespace

static void a_hold_in_the_head_leaves_the_body_unread(HoldTest& t) {
  t.log.hold_in = "request";
  const size_t head = t.two.find("abcd");
  assert_int_equal(t.feed(t.two), head);
  assert_int_equal(t.feed(std::string_view(t.two).substr(head)), 0);
  assert_false(t.reader.between_messages());
  t.log.hold_in = "";
  t.reader.release();
  assert_int_equal(t.feed(std::string_view(t.two).substr(head)), t.two.size() - head);
  assert_true(t.reader.between_messages());
}

static void a_hold_in_a_head_without_body_still_tells_the_end(HoldTest& t) {
  t.log.hold_in = "request";
  t.two = GET_X "\r\n" GET_X "\r\n";
  assert_int_equal(t.feed(t.two), t.two.size() / 2);
  assert_string_equal(t.log.text.c_str(), "GET |x|/ 1.1 none\nend\n");
}

static void a_hold_at_the_end_leaves_the_next_message_unread(HoldTest& t) {
  t.log.hold_in = "end";
  const size_t next = t.two.find("abcd") + 4;
  assert_int_equal(t.feed(t.two), next);
  assert_true(t.reader.between_messages());
  assert_int_equal(t.feed("GET"), 0);
  assert_true(t.reader.between_messages());
}

static void a_hold_from_outside_lets_the_message_end_first(HoldTest& t) {
  const size_t middle = t.two.find("bcd");
  assert_int_equal(t.feed(t.two.substr(0, middle)), middle);
  t.reader.hold();
  assert_int_equal(t.feed(t.two.substr(middle)), 3);
  assert_int_equal(t.feed(GET_X "\r\n"), 0);
  t.reader.release();
  assert_int_equal(t.feed(GET_X "\r\n"), strlen(GET_X) + 2);
}

static void a_switch_of_protocols_is_read_as_bytes_once_it_is_a_tunnel(Nothing&) {
  Holder log;
  Http1Reader reader(responses, log);
  log.reader = &reader;
  const std::string head = "HTTP/1.1 101 Go\r\n\r\n";
  const auto first = reader.feed(head + "\r\nraw");
  assert_true(first && *first == head.size());
  reader.become_tunnel();
  const auto second = reader.feed("\r\nraw");
  assert_true(second && *second == 5);
  assert_true(bool(reader.end()));
  assert_string_equal(log.text.c_str(), "101 Go none\nend\nbody:\r\nraw\nend\n");
}

static void a_tunnel_from_inside_the_head_takes_the_rest_at_once(Nothing&) {
  Holder log;
  Http1Reader reader(responses, log);
  log.reader = &reader;
  log.tunnel = true;
  reader.expect_response_to("CONNECT");
  const std::string bytes = "HTTP/1.1 200 Go\r\n\r\n\r\nraw";
  const auto fed = reader.feed(bytes);
  assert_true(fed && *fed == bytes.size());
  assert_string_equal(log.text.c_str(), "200 Go none\nbody:\r\nraw");
}

static void after_an_error_nothing_is_read_any_more(Nothing&) {
  Http1Log log;
  Http1Reader reader(requests, log);
  assert_false(bool(reader.feed("GET / HTTP/9\r\n\r\n")));
  assert_false(bool(reader.feed(GET_X "\r\n")));
  assert_string_equal(log.text.c_str(), "");
}

static void a_head_in_single_bytes_is_looked_at_once(Nothing&) {
  Http1Log log;
  Http1Reader reader(requests, log);
  std::string bytes = GET_X;
  while (bytes.size() < 60000)
    bytes += "A" + std::to_string(bytes.size()) + ": " + std::string(1000, 'b') + "\r\n";
  bytes += "\r\n";
  const auto start = std::chrono::steady_clock::now();
  for (size_t size = 1; size < bytes.size(); ++size) {
    const auto fed = reader.feed(std::string_view(bytes).substr(0, size));
    assert_true(fed && *fed == 0);
  }
  const auto fed = reader.feed(bytes);
  assert_true(fed && *fed == bytes.size());
  assert_true(std::chrono::steady_clock::now() - start < std::chrono::seconds(2));
}

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, good_requests_are_read_however_they_are_cut),
      MOAT_TEST(Nothing, good_responses_are_read_however_they_are_cut),
      MOAT_TEST(Nothing, smuggled_requests_are_refused_however_they_are_cut),
      MOAT_TEST(Nothing, responses_of_two_readings_are_refused),
      MOAT_TEST(Nothing, a_nul_is_refused_wherever_it_stands),
      MOAT_TEST(Nothing, limits_are_said_in_words_that_tell_which),
      MOAT_TEST(HoldTest, a_hold_in_the_head_leaves_the_body_unread),
      MOAT_TEST(HoldTest, a_hold_in_a_head_without_body_still_tells_the_end),
      MOAT_TEST(HoldTest, a_hold_at_the_end_leaves_the_next_message_unread),
      MOAT_TEST(HoldTest, a_hold_from_outside_lets_the_message_end_first),
      MOAT_TEST(Nothing, a_switch_of_protocols_is_read_as_bytes_once_it_is_a_tunnel),
      MOAT_TEST(Nothing, a_tunnel_from_inside_the_head_takes_the_rest_at_once),
      MOAT_TEST(Nothing, after_an_error_nothing_is_read_any_more),
      MOAT_TEST(Nothing, a_head_in_single_bytes_is_looked_at_once),
  };
  return cmocka_run_group_tests_name("proxy/http1", tests, nullptr, nullptr);
}
