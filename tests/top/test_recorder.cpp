#include "recorder.h"

#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "core/fd.h"
#include "core/text.h"
#include "store/record.h"

#include "moat_test.h"
#include "temp_home.h"

using namespace moat;

namespace {

const char* const secret = "s3cret/Token+0123456789abcdef";

struct RecorderTest {
  test::TempDirectory directory;
  Loop loop;
  SigningKey key = [] {
    auto made = SigningKey::generate();
    if (!made) throw std::runtime_error(made.error().message);
    return std::move(*made);
  }();
  std::string broken;
  std::optional<Recorder> recorder;

  RecorderTest() {
    auto writer = store::RecordWriter::create(directory.path, "0123456789ab", key);
    if (!writer) throw std::runtime_error(writer.error().message);
    recorder.emplace(loop, system_clock(), std::move(*writer),
                     [this](const Error& error) { broken = error.message; });
    recorder->keep_out(secret);
    recorder->audit("run.created", Json::object());
  }

  // All that was recorded, as JSON texts of "data". Ends the recorder.
  std::vector<std::string> data_of(const std::string& type) {
    recorder->audit("run.ended", Json::object());
    (void)recorder->finish();
    recorder.reset();
    auto reader = store::RecordReader::open(directory.path);
    if (!reader) throw std::runtime_error(reader.error().message);
    auto records = (*reader)->audit(0, 10'000);
    if (!records) throw std::runtime_error(records.error().message);
    std::vector<std::string> found;
    for (const auto& record : *records)
      if (type.empty() || record.json.find("\"type\":\"" + type + "\"") != std::string::npos)
        found.emplace_back(record.data());
    return found;
  }
};

proxy::Snippet body_of(const std::string& bytes) {
  proxy::Snippet body;
  body.begin({{"Content-Type", "text/plain"}});
  body.add(bytes);
  return body;
}

void bodies_that_are_text_are_kept(RecorderTest& t) {
  proxy::Exchange with;
  with.method = "POST";
  with.request_headers = {{"Content-Type", "application/json"}};
  with.request_body = body_of("{\"a\": \"\xff\"}");
  with.response_body = body_of(std::string(9000, 'x'));
  t.recorder->exchange(with);
  t.recorder->exchange(proxy::Exchange());
  const auto data = t.data_of("exchange");
  assert_int_equal(data.size(), 2);
  const auto first = Json::parse(data[0]);
  const std::string request = (*first)["request_body"].string();
  assert_string_equal(request.c_str(), "{\"a\": \"\xef\xbf\xbd\"}");
  assert_false((*first)["request_body_cut"].boolean(true));
  assert_int_equal((*first)["response_body"].string().size(), 8192);
  assert_true((*first)["response_body_cut"].boolean());
  const std::string canonical = first->canonical();
  assert_string_equal(canonical.c_str(), data[0].c_str());
  const auto second = Json::parse(data[1]);
  for (const char* member :
       {"request_body", "request_body_cut", "response_body", "response_body_cut"})
    assert_false((*second)[member].exists());
}

void a_secret_is_kept_out_of_bodies_even_where_they_are_cut(RecorderTest& t) {
  const std::string word(secret);
  for (size_t kept = 1; kept <= word.size(); ++kept) {
    proxy::Exchange exchange;
    exchange.request_body = body_of("value=" + word + "&");
    exchange.response_body = body_of(std::string(8192 - kept, 'x') + word + "yz");
    t.recorder->exchange(std::move(exchange));
  }
  for (const std::string& data : t.data_of("exchange")) {
    const auto json = Json::parse(data);
    const std::string request = (*json)["request_body"].string();
    assert_string_equal(request.c_str(), "value=*****************************&");
    const std::string response = (*json)["response_body"].string();
    assert_true(response.find_first_not_of("x*") == std::string::npos);
    assert_true(response.size() > 8100);
  }
}

// All bytes of the record, as they lie on disk.
std::string bytes_of(const RecorderTest& t) {
  return std::string(*read_file(t.directory.at("record.mdb"), 64 << 20));
}

// What a secret may look like: planted, and then looked for.
std::vector<std::string> planted(const std::string& word) {
  return {word,
          hex(word),
          base64(word),
          base64("x" + word),
          base64("user:" + word + "\n"),
          base64url(word),
          "s3cret%2FToken%2B0123456789abcdef",
          "s3cret\\/Token+0123456789abcdef",
          "s3cret%2fToken+0123456789abcdef"};
}
std::vector<std::string> looked_for(const std::string& word) {
  std::vector<std::string> forms = planted(word);
  forms.emplace_back("Token+0123456789abcdef");
  for (std::string& form : forms) {
    // Of base64 what does not depend on what stands around it.
    if (form.find("0123456789") == std::string::npos) form = form.substr(8, form.size() - 16);
  }
  return forms;
}

void a_secret_is_kept_out_wherever_it_appears(RecorderTest& t) {
  t.recorder->redact_headers({"X-Strange"});
  for (const std::string& word : planted(secret)) {
    proxy::Exchange e;
    e.host = word + ".example.com";
    e.method = word;
    e.path = "/" + word + "/?q=" + word;
    e.reason = "this is why: " + word;
    e.rule = "deny /" + word;
    e.rule_where = word + ":1:2";
    e.request_headers = {{"X-" + word, word}, {"Referer", "https://a.example/?q=" + word}};
    e.response_headers = {{"Location", "/" + word}, {"Link", "</?token=x>; title=" + word}};
    e.request_body = body_of("a " + word + " b");
    e.response_body = body_of("{\"a\":\"" + word + "\"}");
    t.recorder->exchange(std::move(e));
    t.recorder->dns({0, word + ".example.com", "A", word, "because of " + word});
    t.recorder->audit("stop", Json::object().set("by", word).set(word, Json::array().add(word)));
    RunFacts facts;
    facts.command = {"curl", "-H", "Authorization: Bearer " + word};
    facts.workspace = "/" + word;
    t.recorder->facts(facts);
    t.recorder->output(runtime::OutputStream::out, "out: " + word + "\n");
    t.recorder->output(runtime::OutputStream::err, "err: " + word);
  }
  assert_int_equal(t.data_of("exchange").size(), planted(secret).size());
  assert_string_equal(t.broken.c_str(), "");
  const std::string bytes = bytes_of(t);
  assert_true(bytes.find("because of ***") != std::string::npos);
  assert_true(bytes.find("this is why: ***") != std::string::npos);
  assert_true(bytes.find("out: ***") != std::string::npos);
  assert_true(bytes.find("err: ***") != std::string::npos);
  for (const std::string& word : looked_for(secret)) {
    const bool found = bytes.find(word) != std::string::npos;
    if (found) print_error("found: %s\n", word.c_str());
    assert_false(found);
  }
}

void values_that_are_known_to_be_credentials_are_not_kept(RecorderTest& t) {
  t.recorder->redact_headers({"X-Strange"});
  proxy::Exchange e;
  e.path = "/list?q=kept-1&access_token=hidden-1";
  e.request_headers = {{"Authorization", "Bearer hidden-2"},
                       {"COOKIE", "id=hidden-3"},
                       {"x-strange", "hidden-4"},
                       {"Referer", "https://a.example/?key=hidden-5"},
                       {"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"}};
  e.response_headers = {{"Set-Cookie", "id=hidden-6; HttpOnly"},
                        {"X-Auth-Token", "hidden-7"},
                        {"Location", "/cb#id_token=hidden-8&state=kept-2"}};
  e.request_body = body_of("name=kept-3&client_secret=hidden-9");
  e.response_body = body_of("you said: Bearer hidden-2, hidden-2");
  t.recorder->exchange(std::move(e));
  const auto data = t.data_of("exchange");
  const auto json = Json::parse(data[0]);
  const std::string path = (*json)["path"].string();
  assert_string_equal(path.c_str(), "/list?q=kept-1&access_token=[redacted]");
  const std::string value = (*json)["request_headers"][size_t{0}][size_t{1}].string();
  assert_string_equal(value.c_str(), "[redacted]");
  const std::string bytes = bytes_of(t);
  assert_true(bytes.find("hidden-") == std::string::npos);
  for (const char* kept : {"kept-1", "kept-2", "kept-3"})
    assert_true(bytes.find(kept) != std::string::npos);
}

void a_secret_in_pieces_of_output_is_found(RecorderTest& t) {
  const std::string word(secret);
  const std::string lines = "-----BEGIN-----\nnobody-else-knows\n-----END-----\n";
  t.recorder->keep_out(lines);
  for (size_t cut = 1; cut < word.size(); ++cut) {
    t.recorder->output(runtime::OutputStream::out, "it is " + word.substr(0, cut));
    // Committed in between, and something comes on the other stream.
    assert_true(t.recorder->commit().has_value());
    t.recorder->output(runtime::OutputStream::err, "meanwhile\n");
    t.recorder->output(runtime::OutputStream::out, word.substr(cut) + "!\n");
  }
  // Where a line of 16 KiB is cut, and over lines.
  for (size_t before = 16384 - word.size(); before <= 16384; ++before)
    t.recorder->output(runtime::OutputStream::out, std::string(before, 'x') + word + "\n");
  t.recorder->output(runtime::OutputStream::out, lines);
  // One that was only begun is no secret.
  t.recorder->output(runtime::OutputStream::out, "the end: " + word.substr(0, 20));
  (void)t.data_of("output");
  const std::string bytes = bytes_of(t);
  assert_true(bytes.find("nobody-else") == std::string::npos);
  // Each half: what stands before the cut and behind it.
  assert_true(bytes.find(word.substr(word.size() - 6)) == std::string::npos);
  size_t begun = 0;
  for (size_t at = bytes.find("s3cret"); at != std::string::npos; at = bytes.find("s3cret", at + 1))
    ++begun;
  assert_true(begun >= 1);  // a page of the file may be there twice
  assert_true(bytes.find("the end: " + word.substr(0, 20)) != std::string::npos);
}

volatile sig_atomic_t children = 0;

// What is much is written by another process, and a head over it is told of when it is there.
void much_goes_to_disk_while_the_loop_turns(RecorderTest& t) {
  children = 0;
  const auto before = signal(SIGCHLD, [](int) { children = children + 1; });
  uint64_t told = 0;
  t.recorder->on_signed([&told](const store::SignedHead& head) { told = head.head.size; });
  for (int i = 0; i < 1500; ++i)
    t.recorder->dns({0, "host-" + std::to_string(i) + ".example.com", "A", "198.18.0.5", ""});
  const bool signed_in_time = test::turn_until(t.loop, [&] { return told != 0; });
  assert_true(signed_in_time);
  assert_in_range(told, 1000, 1501);
  assert_int_equal(children, 1);
  t.recorder->on_signed(nullptr);
  assert_int_equal(t.data_of("dns").size(), 1500);
  signal(SIGCHLD, before);
}

// What moat-audit(5) says that `type` has, sorted.
std::vector<std::string> described(const std::string& type) {
  const auto page = read_file(MOAT_PAGE, 1 << 20);
  if (!page) throw std::runtime_error(page.error().message);
  std::vector<std::string> members;
  bool inside = false;
  for (const std::string_view line : split(*page, '\n')) {
    if (line.starts_with(".Ss ") || line.starts_with(".Sh ")) inside = line == ".Ss " + type;
    if (!inside || !line.starts_with(".It Va ")) continue;
    for (const std::string_view word : split(line, ' '))
      if (word != ".It" && word != "Va" && word != ",") members.emplace_back(word);
  }
  std::sort(members.begin(), members.end());
  return members;
}

// Whoever goes on asking while nothing can be written neither fills the queue nor ends the run.
void refusals_are_counted_when_they_cannot_be_written(RecorderTest& t) {
  signal(SIGXFSZ, SIG_IGN);
  assert_true(t.recorder->commit().has_value());
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit none{4096, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &none);
  Json data = Json::object();
  data.set("reason", std::string(1000, 'x'));
  size_t asked = 0;
  for (; asked < 50'000; ++asked) {
    t.recorder->audit_refusal("ssh.refused", data);
    if (asked == 2000) (void)t.recorder->commit();
  }
  t.loop.turn(Milliseconds(0));
  const bool in_trouble = !t.recorder->state() && t.broken.empty();
  setrlimit(RLIMIT_FSIZE, &before);
  assert_true(in_trouble);
  assert_true(t.recorder->commit().has_value());
  const std::vector<std::string> counted = t.data_of("requests.refused");
  assert_int_equal(counted.size(), 1);
}

void what_is_written_is_what_the_page_describes(RecorderTest& t) {
  proxy::Exchange exchange;
  exchange.request_body = exchange.response_body = body_of("text");
  t.recorder->exchange(std::move(exchange));
  t.recorder->dns({0, "a.example.com", "A", "NXDOMAIN", "not allowed"});
  t.recorder->output(runtime::OutputStream::out, "a line\n");
  std::vector<std::string> of_all;
  for (const std::string& data : t.data_of("")) of_all.push_back(data);
  const std::pair<const char*, size_t> written[] = {{"exchange", 1}, {"dns", 2}, {"output", 3}};
  for (const auto& [type, seq] : written) {
    std::vector<std::string> members;
    const auto data = Json::parse(of_all.at(seq));
    for (const auto& member : data->view().elements()) members.push_back(member.key());
    std::sort(members.begin(), members.end());
    if (members != described(type)) print_error("moat-audit.5: %s\n", type);
    assert_true(members == described(type));
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(RecorderTest, bodies_that_are_text_are_kept),
      MOAT_TEST(RecorderTest, a_secret_is_kept_out_of_bodies_even_where_they_are_cut),
      MOAT_TEST(RecorderTest, a_secret_is_kept_out_wherever_it_appears),
      MOAT_TEST(RecorderTest, values_that_are_known_to_be_credentials_are_not_kept),
      MOAT_TEST(RecorderTest, a_secret_in_pieces_of_output_is_found),
      MOAT_TEST(RecorderTest, much_goes_to_disk_while_the_loop_turns),
      MOAT_TEST(RecorderTest, refusals_are_counted_when_they_cannot_be_written),
      MOAT_TEST(RecorderTest, what_is_written_is_what_the_page_describes),
  };
  return cmocka_run_group_tests_name("top/recorder", tests, nullptr, nullptr);
}
