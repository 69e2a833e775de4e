// What the relay makes of a RequestSigner: when a body is gathered, when a request waits, and what
// becomes of one that cannot be signed. The signer is a fake, of a few words.
#include "proxy/request_signer.h"

#include "wall.h"

using namespace moat;
using namespace moat::proxy;
using moat::test::Peer;
using moat::test::Wall;

namespace {

struct Fake;

struct FakeSigning final : RequestSigning {
  FakeSigning(Fake& of, std::string sent_as) : fake(of), path(std::move(sent_as)) {}
  ~FakeSigning() override;
  [[nodiscard]] bool wants_body() const override { return path.starts_with("/gather"); }
  Result<void> gather(std::string_view bytes) override {
    body += bytes;
    if (body.size() > 100) return Error{Errc::too_large, "too much"};
    return {};
  }
  void check(std::function<void(const Result<void>&)> done) override;
  [[nodiscard]] std::shared_ptr<const ScrubPatterns> secrets() const override;
  Result<Applied> sign(RequestHead& head) override;
  std::string take_body() override { return std::exchange(body, {}); }
  Result<std::string_view> pass(std::string_view bytes) override {
    passed = "<" + std::string(bytes) + ">";
    if (bytes.find("bad") != std::string_view::npos) return Error{Errc::denied, "a bad piece"};
    return std::string_view(passed);
  }
  Result<void> finish() override {
    if (path == "/unfinished") return Error{Errc::invalid, "it lacks its end"};
    return {};
  }
  Fake& fake;
  std::string path;
  std::string body;
  std::string passed;
};

struct Fake final : RequestSigner {
  [[nodiscard]] const std::string& label() const override { return name; }
  [[nodiscard]] const std::vector<std::string>& hosts() const override { return patterns; }
  Result<std::unique_ptr<RequestSigning>> begin(std::string_view, std::string_view,
                                                const RequestHead& head, BodyLength) override {
    if (head.path == "/foreign") return Error{Errc::denied, "a foreign key"};
    if (head.path == "/other-way") return Error{Errc::unsupported, "signed in another way"};
    saw_hop = find(head.headers, "X-Hop") != nullptr;
    alive++;
    return std::unique_ptr<RequestSigning>(new FakeSigning(*this, head.path));
  }
  std::string name = "fake";
  std::vector<std::string> patterns = {"signed.example.com"};
  std::vector<std::function<void(const Result<void>&)>> waiting;
  bool saw_hop = false;
  int alive = 0;
};

FakeSigning::~FakeSigning() {
  fake.alive--;
}

void FakeSigning::check(std::function<void(const Result<void>&)> done) {
  if (path == "/wait") return fake.waiting.push_back(std::move(done));
  if (body == "changed") return done(Error{Errc::denied, "it was changed"});
  done({});
}

std::shared_ptr<const ScrubPatterns> FakeSigning::secrets() const {
  auto patterns = std::make_shared<ScrubPatterns>();
  patterns->add("the-session-token");
  return patterns;
}

Result<RequestSigning::Applied> FakeSigning::sign(RequestHead& head) {
  if (path == "/gone") return Error{Errc::io, "the keys have gone"};
  head.headers.push_back({"Authorization", "signed the-session-token"});
  return Applied{{"fake"}, {"Cookie"}};
}

struct SignerTest : Wall {
  std::shared_ptr<Fake> fake = std::make_shared<Fake>();
  SignerTest() { settings.signers.push_back(fake); }
  Peer& ask(const std::string& method, const std::string& path, const std::string& rest = "\r\n") {
    Peer& agent = connect("signed.example.com", 80);
    agent.say(method + " " + path + " HTTP/1.1\r\nHost: signed.example.com\r\n" + rest);
    return agent;
  }
};

void a_request_is_signed_as_it_leaves(SignerTest& t) {
  t.origin.answers = {"HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\ngot: the-session-token, ok"};
  Peer& agent = t.ask("GET", "/", "Connection: x-hop\r\nX-Hop: y\r\n\r\n");
  assert_true(t.until_has(agent, "got: *****************, ok"));
  assert_true(t.fake->saw_hop);
  assert_true(t.origin.last().find("Authorization: signed the-session-token\r\n") !=
              std::string::npos);
  assert_true(t.until_told());
  assert_string_equal(t.told().injected.at(0).c_str(), "fake");
  assert_string_equal(t.told().stripped.at(0).c_str(), "Cookie");
  assert_int_equal(t.told().scrubbed, 1);
  assert_null(find(t.told().request_headers, "Authorization"));
  // Other hosts are none of its business.
  Peer& other = t.connect("api.example.com", 80);
  other.say("GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n");
  assert_true(t.until_has(other, "the-session-token"));
}

void what_cannot_be_signed_is_refused(SignerTest& t) {
  assert_true(t.until_has(t.ask("GET", "/foreign"), "403 Forbidden"));
  assert_true(t.until_has(t.ask("GET", "/other-way"), "501 Not Implemented"));
  assert_true(t.until_has(t.ask("GET", "/gone"), "502 Bad Gateway"));
  assert_true(t.until_told(3));
  assert_true(t.origin.requests.empty());
  assert_true(t.told().reason == "the keys have gone" && !t.told().refused);
}

void a_body_is_gathered_before_anything_leaves(SignerTest& t) {
  Peer& agent = t.ask("POST", "/gather", "Expect: 100-continue\r\nContent-Length: 10\r\n\r\n");
  assert_true(t.until_has(agent, "100 Continue"));
  agent.say("01234");
  for (int i = 0; i < 20; i++) t.loop.turn(Milliseconds(1));
  assert_int_equal(t.origin.accepted, 0);
  agent.say("56789");
  assert_true(t.until_has(agent, "200 OK"));
  assert_true(t.origin.last().ends_with("\r\n\r\n0123456789"));
  assert_true(t.origin.last().find("Expect") == std::string::npos);
  assert_true(t.until_told());
  assert_int_equal(t.told().request_bytes, 10);
  assert_true(t.told().complete);
}

void a_gathered_body_that_is_not_good_never_leaves(SignerTest& t) {
  assert_true(
      t.until_has(t.ask("POST", "/gather", "Content-Length: 7\r\n\r\nchanged"), "it was changed"));
  const std::string much(200, 'x');
  assert_true(t.until_has(t.ask("POST", "/gather", "Content-Length: 200\r\n\r\n" + much),
                          "413 Content Too Large"));
  assert_true(t.until_told(2));
  assert_int_equal(t.origin.accepted, 0);
}

void a_body_that_streams_is_changed_on_its_way(SignerTest& t) {
  Peer& agent = t.ask("POST", "/stream", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
  t.origin.script = [](Peer& peer) {
    if (peer.received.ends_with("0\r\n\r\n"))
      peer.transport.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  };
  assert_true(t.until_has(agent, "200 OK"));
  assert_true(t.origin.peers.back()->received.ends_with("5\r\n<abc>\r\n0\r\n\r\n"));
  Peer& bad = t.ask("POST", "/stream", "Transfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n");
  assert_true(t.until_has(bad, "a bad piece"));
  Peer& open =
      t.ask("POST", "/unfinished", "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n");
  assert_true(t.until_has(open, "it lacks its end"));
  assert_true(t.until_told(3));
  // The origin never takes what it got of these for whole.
  for (const auto& peer : t.origin.peers) {
    if (peer->has("<abc>")) continue;
    assert_false(peer->has("0\r\n\r\n"));
  }
}

void a_request_waits_for_keys(SignerTest& t) {
  Peer& agent = t.ask("GET", "/wait");
  assert_true(t.until([&] { return t.fake->waiting.size() == 1; }));
  assert_int_equal(t.origin.accepted, 0);
  t.fake->waiting[0]({});
  assert_true(t.until_has(agent, "200 OK"));
}

void keys_that_come_after_the_end_find_nobody(SignerTest& t) {
  (void)t.ask("GET", "/wait");
  assert_true(t.until([&] { return t.fake->waiting.size() == 1; }));
  t.sessions.clear();
  assert_int_equal(t.fake->alive, 0);
  t.fake->waiting[0]({});
  assert_int_equal(t.origin.accepted, 0);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(SignerTest, a_request_is_signed_as_it_leaves),
      MOAT_TEST(SignerTest, what_cannot_be_signed_is_refused),
      MOAT_TEST(SignerTest, a_body_is_gathered_before_anything_leaves),
      MOAT_TEST(SignerTest, a_gathered_body_that_is_not_good_never_leaves),
      MOAT_TEST(SignerTest, a_body_that_streams_is_changed_on_its_way),
      MOAT_TEST(SignerTest, a_request_waits_for_keys),
      MOAT_TEST(SignerTest, keys_that_come_after_the_end_find_nobody),
  };
  return cmocka_run_group_tests_name("proxy/request_signer", tests, nullptr, nullptr);
}
