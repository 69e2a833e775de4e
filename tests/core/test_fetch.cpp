#include "core/fetch.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "core/child.h"
#include "core/fd.h"
#include "core/stream.h"
#include "core/text.h"
#include "moat_test.h"

namespace moat::test {
namespace {

namespace fs = std::filesystem;

// An HTTP server on the same loop: gives each request, head and body, to `respond`, which writes
// what it likes.
class Server final : public Stream::Handler {
 public:
  Server(Loop& loop, Fd listening)
      : loop_(loop), fd_(std::move(listening)), watch_(loop, fd_.get(), [this](Ready) {
          Fd one(accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
          if (!one) return;
          streams.push_back(std::make_unique<Stream>(loop_, std::move(one), *this,
                                                     Stream::Limits{1 << 20, 1 << 20}));
        }) {
    listen(fd_.get(), 20);
    watch_.want(true, false);
  }

  std::function<void(Stream&, const std::string& request)> respond;
  std::vector<std::string> requests;
  std::vector<std::unique_ptr<Stream>> streams;

 private:
  void on_input(Stream& stream) override {
    const std::string text(stream.input());
    const size_t end = text.find("\r\n\r\n");
    if (end == std::string::npos) return;
    const std::string head = lower(text.substr(0, end));
    const size_t at = head.find("content-length: ");
    const size_t length =
        at == std::string::npos ? 0 : static_cast<size_t>(atoi(head.c_str() + at + 16));
    if (text.size() < end + 4 + length) return;
    requests.push_back(text.substr(0, end + 4 + length));
    stream.consume(end + 4 + length);
    respond(stream, requests.back());
  }
  void on_end(Stream& stream) override { stream.close(); }
  void on_drained(Stream& /*stream*/) override {}
  void on_error(Stream& /*stream*/, const Error& /*error*/) override {}

  Loop& loop_;
  Fd fd_;
  Watch watch_;
};

std::string ok(const std::string& body) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

struct FetchTest {
  Loop loop;
  std::string directory = fs::temp_directory_path() / "moat-fetch-XXXXXX";
  std::string socket_path;
  Resolver::Files files;
  SocketAddress address;
  std::unique_ptr<Server> tcp;
  std::unique_ptr<Server> local;
  std::unique_ptr<Fetcher> fetcher;
  std::unique_ptr<Child> openssl;
  FetchRequest request;
  std::vector<Result<FetchResponse>> results;
  std::string text;
  size_t pieces = 0;
  uint64_t id = 0;

  FetchTest() {
    if (mkdtemp(directory.data()) == nullptr) throw std::runtime_error("mkdtemp");
    for (const char* name : {"http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTPS_PROXY",
                             "ALL_PROXY", "NO_PROXY"})
      unsetenv(name);
    files = {directory + "/resolv.conf", directory + "/hosts"};
    const auto conf = write_file_atomically(files.resolv_conf, "nameserver 127.0.0.1:9\n", 0600);
    const auto hosts =
        write_file_atomically(files.hosts, "127.0.0.1 api.test moat.test proxy.test\n", 0600);
    listen_on_tcp();
    listen_on_unix();
    fetcher = std::make_unique<Fetcher>(loop, files);
    const auto respond = [](Stream& stream, const std::string&) { stream.write(ok("hello")); };
    tcp->respond = respond;
    local->respond = respond;
    request.url = url("api.test");
  }
  ~FetchTest() {
    fetcher.reset();
    fs::remove_all(directory);
  }

  void listen_on_tcp() {
    Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    address = *SocketAddress::from_ip("127.0.0.1", 0);
    bind(fd.get(), address.get(), address.size);
    socklen_t size = sizeof address.storage;
    getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address.storage), &size);
    tcp = std::make_unique<Server>(loop, std::move(fd));
  }
  void listen_on_unix() {
    socket_path = directory + "/engine.sock";
    Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    socket_path.copy(name.sun_path, sizeof name.sun_path - 1);
    bind(fd.get(), reinterpret_cast<sockaddr*>(&name), sizeof name);
    local = std::make_unique<Server>(loop, std::move(fd));
  }
  [[nodiscard]] std::string url(const std::string& host) const {
    return "http://" + host + ":" + std::to_string(address.port()) + "/path?query=1";
  }

  // Sends `request` and gives a new one its place.
  void fetch() {
    FetchRequest now;
    std::swap(now, request);
    request.url = now.url;
    id = fetcher->fetch(std::move(now), [this](Result<FetchResponse> result) {
      results.push_back(std::move(result));
    });
  }
  bool done(size_t count = 1) {
    return turn_until(
        loop, [this, count] { return results.size() == count; }, std::chrono::seconds(10));
  }
  [[nodiscard]] bool sent(std::string_view line) const {
    return !tcp->requests.empty() && tcp->requests.back().find(line) != std::string::npos;
  }
};

void a_response_comes_over_tcp(FetchTest& t) {
  t.fetch();
  assert_int_equal(t.results.size(), 0);  // never from inside fetch()
  assert_true(t.done());
  assert_true(t.results[0].has_value());
  assert_int_equal(t.results[0]->status, 200);
  assert_string_equal(t.results[0]->body.c_str(), "hello");
  assert_string_equal(t.results[0]->headers["content-length"].c_str(), "5");
  assert_true(t.sent("GET /path?query=1 HTTP/1.1\r\n"));
  assert_true(t.sent("Host: api.test:"));
}

void a_response_comes_over_a_unix_socket_past_any_proxy(FetchTest& t) {
  setenv("http_proxy", "http://127.0.0.1:9", 1);
  setenv("all_proxy", "http://127.0.0.1:9", 1);
  t.request.url = "http://docker/v1.41/info";
  t.request.unix_socket = t.socket_path;
  t.fetch();
  assert_true(t.done());
  assert_true(t.results[0].has_value());
  const bool right = t.local->requests[0].find("GET /v1.41/info HTTP/1.1\r\n") == 0;
  assert_true(right);
}

void method_headers_body_and_bearer_are_sent(FetchTest& t) {
  t.request.method = "POST";
  t.request.headers = {{"Accept", "application/json"}, {"X-Empty", ""}};
  t.request.bearer = Secret(std::string_view("s3cret"));
  t.request.body = "a=1";
  t.fetch();
  assert_true(t.done());
  assert_true(t.sent("POST /path?query=1 HTTP/1.1\r\n"));
  assert_true(t.sent("Accept: application/json\r\n"));
  assert_true(t.sent("X-Empty:\r\n"));
  assert_true(t.sent("Authorization: Bearer s3cret\r\n"));
  assert_true(t.sent("\r\n\r\na=1"));
  assert_false(t.sent("Content-Type"));
  t.request.method = "DELETE";
  t.fetch();
  assert_true(t.done(2));
  assert_true(t.sent("DELETE /path?query=1 HTTP/1.1\r\n"));
  t.request.method = "POST";
  t.fetch();
  assert_true(t.done(3));
  assert_true(t.sent("Content-Length: 0\r\n"));
}

void a_header_that_would_be_two_is_refused(FetchTest& t) {
  t.request.headers = {{"X", "a\r\nEvil: 1"}};
  t.fetch();
  t.request.headers = {{"X\r\nEvil", "1"}};
  t.fetch();
  t.request.bearer = Secret(std::string_view("a\nb"));
  t.fetch();
  assert_true(t.done(3));
  for (const auto& result : t.results) assert_int_equal(result.error().code, Errc::invalid);
  assert_int_equal(t.tcp->requests.size(), 0);
}

void a_redirect_is_given_not_followed(FetchTest& t) {
  t.tcp->respond = [&t](Stream& stream, const std::string&) {
    stream.write("HTTP/1.1 302 Found\r\nLocation: " + t.url("api.test") +
                 "\r\nContent-Length: 0\r\n\r\n");
  };
  t.fetch();
  assert_true(t.done());
  assert_int_equal(t.results[0]->status, 302);
  assert_int_equal(t.tcp->requests.size(), 1);
}

void an_address_that_is_objected_to_is_not_connected_to(FetchTest& t) {
  const auto object = [](const SocketAddress& address) {
    return std::optional<std::string>(address.ip() + " is loopback");
  };
  t.request.objection = object;  // of a name
  t.fetch();
  t.request.objection = object;  // of an address
  t.request.url = t.url("127.0.0.1");
  t.fetch();
  assert_true(t.done(2));
  for (const auto& result : t.results) {
    assert_int_equal(result.error().code, Errc::denied);
    assert_true(result.error().message.ends_with("it may not be asked: 127.0.0.1 is loopback"));
  }
  assert_int_equal(t.tcp->requests.size(), 0);
  // The person has said where to connect.
  const std::string there = t.address.text();
  t.request.objection = object;
  t.request.url = t.url("api.test");
  t.request.connect_to = {{"api.test:" + std::to_string(t.address.port()), there}};
  t.fetch();
  assert_true(t.done(3));
  assert_true(t.results[2].has_value());
  t.request.objection = [](const SocketAddress&) { return std::nullopt; };
  t.fetch();
  assert_true(t.done(4));
  assert_true(t.results[3].has_value());
}

void interim_answers_are_not_the_answer(FetchTest& t) {
  t.tcp->respond = [](Stream& stream, const std::string&) {
    stream.write(
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\nA: b\r\n\r\n");
  };
  t.fetch();
  assert_true(t.done());
  assert_int_equal(t.results[0]->status, 204);
  assert_int_equal(t.results[0]->headers.count("link"), 0);
  assert_int_equal(t.results[0]->headers.count("a"), 1);
}

void a_body_over_the_limit_is_refused(FetchTest& t) {
  t.request.max_body = 4;
  t.fetch();
  assert_true(t.done());
  assert_int_equal(t.results[0].error().code, Errc::too_large);
}

void a_stream_is_given_piece_by_piece(FetchTest& t) {
  t.tcp->respond = [](Stream& stream, const std::string&) {
    stream.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
  };
  t.request.limit = Milliseconds(0);
  t.request.on_body = [&t](std::string_view piece) {
    t.text += piece;
    // One chunk follows the other only when it has arrived: nothing is held back.
    if (++t.pieces < 3) t.tcp->streams[0]->write("1\r\nb\r\n");
    if (t.pieces == 3) t.tcp->streams[0]->write("0\r\n\r\n");
  };
  t.fetch();
  assert_true(t.done());
  assert_true(t.results[0].has_value());
  assert_string_equal(t.text.c_str(), "abb");
  assert_true(t.results[0]->body.empty());
}

void many_at_once_are_served(FetchTest& t) {
  for (int i = 0; i < 20; ++i) {
    if (i % 2 == 0) t.request.unix_socket = t.socket_path;
    t.fetch();
  }
  assert_true(t.done(20));
  for (const auto& result : t.results) assert_true(result.has_value());
}

void failures_are_told_apart(FetchTest& t) {
  t.request.url = "http://none.invalid/";
  t.request.limit = Milliseconds(200);
  t.fetch();
  t.request.url = "http://127.0.0.1:1/";
  t.fetch();
  t.request.url = "http://x/";
  t.request.unix_socket = t.directory + "/nothing.sock";
  t.fetch();
  t.request.url = "not a url";
  t.fetch();
  assert_true(t.done(4));
  std::vector<int> codes;
  for (const auto& result : t.results) codes.push_back(static_cast<int>(result.error().code));
  for (const Errc code : {Errc::refused, Errc::not_found, Errc::invalid}) {
    const bool found = std::count(codes.begin(), codes.end(), static_cast<int>(code)) == 1;
    assert_true(found);
  }
}

void a_server_that_hangs_up_is_an_error(FetchTest& t) {
  t.tcp->respond = [](Stream& stream, const std::string&) {
    stream.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    stream.end_writing();
  };
  t.fetch();
  assert_true(t.done());
  assert_int_equal(t.results[0].error().code, Errc::closed);
  t.tcp->respond = [](Stream& stream, const std::string&) { stream.close(); };
  t.fetch();
  assert_true(t.done(2));
  assert_int_equal(t.results[1].error().code, Errc::closed);
}

void a_silent_server_is_a_timeout_without_the_query_in_the_message(FetchTest& t) {
  t.tcp->respond = [](Stream&, const std::string&) {};
  t.request.limit = Milliseconds(100);
  t.fetch();
  assert_true(t.done());
  assert_int_equal(t.results[0].error().code, Errc::timeout);
  assert_true(t.results[0].error().message.find("GET http://api.test:") == 0);
  const bool leaks = t.results[0].error().message.find("query") != std::string::npos;
  assert_false(leaks);
}

void cancelling_says_nothing(FetchTest& t) {
  t.fetch();
  t.fetcher->cancel(t.id);
  t.fetcher->cancel(t.id);
  t.fetcher->cancel(12345);
  t.fetch();
  assert_true(t.done());
  for (int i = 0; i < 5; ++i) t.loop.turn(Milliseconds(2));
  assert_int_equal(t.results.size(), 1);
}

void callbacks_may_cancel_and_destroy(FetchTest& t) {
  t.request.on_body = [&t](std::string_view) {
    ++t.pieces;
    t.fetcher->cancel(t.id);
  };
  t.fetch();
  const bool cancelled = turn_until(t.loop, [&t] { return t.pieces == 1; });
  assert_true(cancelled);
  t.request.on_body = [&t](std::string_view) {
    ++t.pieces;
    t.fetcher.reset();
  };
  t.fetch();
  const bool destroyed = turn_until(t.loop, [&t] { return !t.fetcher; });
  assert_true(destroyed);
  t.fetcher = std::make_unique<Fetcher>(t.loop, t.files);
  t.request.url = t.url("api.test");
  t.fetcher->fetch(std::move(t.request), [&t](Result<FetchResponse>) { t.fetcher.reset(); });
  const bool again = turn_until(t.loop, [&t] { return !t.fetcher; });
  assert_true(again);
  assert_int_equal(t.results.size(), 0);
}

void destroying_it_under_way_says_nothing(FetchTest& t) {
  t.tcp->respond = [](Stream&, const std::string&) {};
  t.fetch();
  t.request.unix_socket = t.socket_path;
  t.fetch();
  const bool asked = turn_until(t.loop, [&t] { return !t.tcp->requests.empty(); });
  assert_true(asked);
  t.fetcher.reset();
  for (int i = 0; i < 5; ++i) t.loop.turn(Milliseconds(2));
  assert_int_equal(t.results.size(), 0);
}

void no_thread_is_ever_started(FetchTest& t) {
  t.request.url = t.url("API.test");
  size_t threads = 0;
  t.tcp->respond = [&threads](Stream& stream, const std::string&) {
    threads = static_cast<size_t>(
        std::distance(fs::directory_iterator("/proc/self/task"), fs::directory_iterator()));
    stream.write(ok("x"));
  };
  t.fetch();
  assert_true(t.done());
  assert_true(t.results[0].has_value());
#if !defined(__SANITIZE_THREAD__)
  assert_int_equal(threads, 1);
#endif
}

void the_proxy_of_the_environment_is_gone_through(FetchTest& t) {
  t.text = "http://proxy.test:" + std::to_string(t.address.port());
  setenv("http_proxy", t.text.c_str(), 1);
  t.request.url = "http://elsewhere.example/x";
  t.fetch();
  assert_true(t.done());
  assert_true(t.results[0].has_value());
  assert_true(t.sent("GET http://elsewhere.example/x HTTP/1.1\r\n"));
}

// A server of openssl(1)'s with a certificate for moat.test, made on the spot; its port, or 0
// where there is no openssl.
uint16_t start_tls_server(FetchTest& t) {
  const std::string make =
      "cd " + t.directory +
      " && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
      " -subj /CN=moat-test -addext subjectAltName=DNS:moat.test -keyout key.pem -out ca.pem"
      " 2>/dev/null";
  if (system(make.c_str()) != 0) return 0;
  auto pipe = make_pipe();
  ChildSpec spec;
  spec.argv = {"openssl",
               "s_server",
               "-accept",
               "127.0.0.1:0",
               "-www",
               "-cert",
               t.directory + "/ca.pem",
               "-key",
               t.directory + "/key.pem"};
  spec.descriptors = {{pipe->second.get(), 1}};
  spec.die_with_parent = true;
  auto child = Child::start(t.loop, spec, [](ExitStatus) {});
  if (!child) return 0;
  t.openssl = std::move(*child);
  pipe->second.reset();
  std::string said;
  char byte = 0;
  while (said.find("ACCEPT 127.0.0.1:") == std::string::npos || byte != '\n') {
    if (read(pipe->first.get(), &byte, 1) != 1) return 0;
    said += byte;
  }
  const auto port = parse_number(trim(said.substr(said.rfind(':') + 1)), 1, 65535);
  return static_cast<uint16_t>(port.value_or(0));
}

void certificates_are_verified_against_the_roots_and_the_name(FetchTest& t) {
  const uint16_t port = start_tls_server(t);
  if (port == 0) {
    print_message("no openssl to test with\n");
    return;
  }
  const std::string to = "127.0.0.1:" + std::to_string(port);
  t.request.url = "https://moat.test/";
  t.request.connect_to = {{"moat.test:443", to}};
  t.request.ca_file = t.directory + "/ca.pem";
  t.fetch();
  assert_true(t.done());
  if (!t.results[0]) print_error("%s\n", t.results[0].error().message.c_str());
  assert_true(t.results[0].has_value());
  assert_int_equal(t.results[0]->status, 200);

  t.request.connect_to = {{"moat.test:443", to}};  // the system's roots only
  t.fetch();
  assert_true(t.done(2));
  assert_int_equal(t.results[1].error().code, Errc::tls);

  t.request.url = "https://api.test/";  // another name
  t.request.connect_to = {{"api.test:443", to}};
  t.request.ca_file = t.directory + "/ca.pem";
  t.fetch();
  assert_true(t.done(3));
  assert_int_equal(t.results[2].error().code, Errc::tls);

  t.request.ca_file = t.directory + "/none.pem";
  t.fetch();
  t.request.ca_file = t.directory + "/key.pem";
  t.fetch();
  assert_true(t.done(5));
  assert_int_equal(t.results[3].error().code, Errc::not_found);
  assert_int_equal(t.results[4].error().code, Errc::invalid);
}

}  // namespace
}  // namespace moat::test

int main() {
  using namespace moat::test;
  const CMUnitTest tests[] = {
      MOAT_TEST(FetchTest, a_response_comes_over_tcp),
      MOAT_TEST(FetchTest, a_response_comes_over_a_unix_socket_past_any_proxy),
      MOAT_TEST(FetchTest, method_headers_body_and_bearer_are_sent),
      MOAT_TEST(FetchTest, a_header_that_would_be_two_is_refused),
      MOAT_TEST(FetchTest, a_redirect_is_given_not_followed),
      MOAT_TEST(FetchTest, an_address_that_is_objected_to_is_not_connected_to),
      MOAT_TEST(FetchTest, interim_answers_are_not_the_answer),
      MOAT_TEST(FetchTest, a_body_over_the_limit_is_refused),
      MOAT_TEST(FetchTest, a_stream_is_given_piece_by_piece),
      MOAT_TEST(FetchTest, many_at_once_are_served),
      MOAT_TEST(FetchTest, failures_are_told_apart),
      MOAT_TEST(FetchTest, a_server_that_hangs_up_is_an_error),
      MOAT_TEST(FetchTest, a_silent_server_is_a_timeout_without_the_query_in_the_message),
      MOAT_TEST(FetchTest, cancelling_says_nothing),
      MOAT_TEST(FetchTest, callbacks_may_cancel_and_destroy),
      MOAT_TEST(FetchTest, destroying_it_under_way_says_nothing),
      MOAT_TEST(FetchTest, no_thread_is_ever_started),
      MOAT_TEST(FetchTest, the_proxy_of_the_environment_is_gone_through),
      MOAT_TEST(FetchTest, certificates_are_verified_against_the_roots_and_the_name),
  };
  return cmocka_run_group_tests_name("core/fetch", tests, nullptr, nullptr);
}
