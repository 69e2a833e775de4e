#include "proxy/http2_head.h"

#include <string>

#include "core/text.h"

#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;

namespace {

struct Http2HeadTest {
  Headers with(Headers more) const {
    Headers fields = request;
    fields.insert(fields.end(), more.begin(), more.end());
    return fields;
  }
  // The request with one field replaced, or left out where the value is null.
  Headers changed(const char* name, const char* value) const {
    Headers fields;
    for (const Header& field : request) {
      if (field.name != name) {
        fields.push_back(field);
      } else if (value != nullptr) {
        fields.push_back({name, value});
      }
    }
    return fields;
  }
  static std::string value(const Headers& headers, const char* name) {
    const Header* header = find(headers, name);
    return header == nullptr ? "(none)" : header->value;
  }

  Headers request = {{":method", "POST"},
                     {":scheme", "https"},
                     {":authority", "api.example.com"},
                     {":path", "/v1?q=1"}};
  Headers websocket = {{":method", "CONNECT"},
                       {":protocol", "websocket"},
                       {":scheme", "https"},
                       {":authority", "api.example.com"},
                       {":path", "/chat"}};
};

void a_request_is_read(Http2HeadTest& t) {
  const auto head = request_from_http2(
      t.with({{"accept", "*/*"}, {"te", "trailers"}, {"x-empty", ""}, {"accept", "text/html"}}));
  assert_true(bool(head));
  assert_string_equal(head->method.c_str(), "POST");
  assert_string_equal(head->scheme.c_str(), "https");
  assert_string_equal(head->authority.c_str(), "api.example.com");
  assert_string_equal(head->path.c_str(), "/v1?q=1");
  assert_int_equal(head->major, 2);
  assert_int_equal(head->headers.size(), 4);
  assert_string_equal(head->headers[3].value.c_str(), "text/html");
}

void what_two_readers_could_take_differently_is_refused(Http2HeadTest& t) {
  const struct {
    const char* what;
    Headers fields;
  } cases[] = {
      {"no method", t.changed(":method", nullptr)},
      {"an empty method", t.changed(":method", "")},
      {"a method with a space", t.changed(":method", "GET /x HTTP/1.1")},
      {"a method in lower case", t.changed(":method", "get")},
      {"a framing header with an underscore", t.with({{"content_length", "1"}})},
      {"an expectation of another kind", t.with({{"expect", "200-ok"}})},
      {"no scheme", t.changed(":scheme", nullptr)},
      {"an odd scheme", t.changed(":scheme", "ftp")},
      {"no path", t.changed(":path", nullptr)},
      {"an empty path", t.changed(":path", "")},
      {"a path without a slash", t.changed(":path", "v1")},
      {"a path with a space", t.changed(":path", "/ HTTP/1.1")},
      {"a path with CR LF", t.changed(":path", "/\r\nX: y")},
      {"a path with a fragment", t.changed(":path", "/#x")},
      {"a star without OPTIONS", t.changed(":path", "*")},
      {"a whole URL as the path", t.changed(":path", "http://other.example/")},
      {"no authority", t.changed(":authority", nullptr)},
      {"user info", t.changed(":authority", "me@api.example.com")},
      {"a bad port", t.changed(":authority", "api.example.com:0x50")},
      {"two authorities", t.changed(":authority", "a.example,b.example")},
      {"a duplicate pseudo-header", t.with({{":path", "/other"}})},
      {"an unknown pseudo-header", t.with({{":verb", "GET"}})},
      {"a status", t.with({{":status", "200"}})},
      {"a :protocol without CONNECT", t.with({{":protocol", "websocket"}})},
      {"an upper-case name", t.with({{"X-Name", "1"}})},
      {"an empty name", t.with({{"", "1"}})},
      {"a name with a colon", t.with({{"x:y", "1"}})},
      {"a name with a space", t.with({{"x y", "1"}})},
      {"a name with CR LF", t.with({{"x\r\nhost", "1"}})},
      {"a value with LF", t.with({{"x", "1\nhost: other"}})},
      {"a value with CR", t.with({{"x", "1\rhost: other"}})},
      {"a value with NUL", t.with({{"x", std::string("1\0", 2)}})},
      {"a value with white space around", t.with({{"x", " 1"}})},
      {"connection", t.with({{"connection", "close"}})},
      {"keep-alive", t.with({{"keep-alive", "timeout=5"}})},
      {"proxy-connection", t.with({{"proxy-connection", "close"}})},
      {"transfer-encoding (H2.TE)", t.with({{"transfer-encoding", "chunked"}})},
      {"upgrade", t.with({{"upgrade", "websocket"}})},
      {"te of another kind", t.with({{"te", "gzip"}})},
      {"another host", t.with({{"host", "other.example.com"}})},
      {"another port in host", t.with({{"host", "api.example.com:8443"}})},
      {"two hosts", t.with({{"host", "api.example.com"}, {"host", "api.example.com"}})},
      {"two lengths (H2.CL)", t.with({{"content-length", "1"}, {"content-length", "1"}})},
  };
  for (const auto& one : cases) {
    const auto head = request_from_http2(one.fields);
    const bool refused = !head && head.error().code == Errc::invalid;
    if (!refused) print_error("passed: %s\n", one.what);
    assert_true(refused);
  }
  Headers late = {{"accept", "*/*"}};
  late.insert(late.end(), t.request.begin(), t.request.end());
  const bool passed = bool(request_from_http2(late));
  assert_false(passed);
}

void host_and_authority_are_one(Http2HeadTest& t) {
  const auto same = request_from_http2(t.with({{"host", "API.example.com:443"}}));
  assert_true(bool(same));
  assert_int_equal(count(same->headers, "host"), 0);
  Headers fields = t.changed(":authority", nullptr);
  fields.push_back({"host", "api.example.com"});
  const auto instead = request_from_http2(fields);
  assert_true(bool(instead));
  assert_string_equal(instead->authority.c_str(), "api.example.com");
  assert_int_equal(count(instead->headers, "host"), 0);
}

void empty_crumbs_leave_no_trace(Http2HeadTest& t) {
  const auto head = request_from_http2(t.with({{"cookie", ""}, {"cookie", "x=1"}, {"cookie", ""}}));
  const bool taken = head.has_value();
  assert_true(taken);
  assert_string_equal(find(head->headers, "cookie")->value.c_str(), "x=1");
}

void crumbs_of_cookies_are_joined_where_the_first_stood(Http2HeadTest& t) {
  const auto head = request_from_http2(
      t.with({{"a", "1"}, {"cookie", "x=1"}, {"b", "2"}, {"cookie", "y=2"}, {"cookie", "z=3"}}));
  assert_true(bool(head));
  assert_int_equal(head->headers.size(), 3);
  assert_string_equal(head->headers[1].name.c_str(), "cookie");
  assert_string_equal(head->headers[1].value.c_str(), "x=1; y=2; z=3");
}

void the_length_of_a_body_is_what_is_announced(Http2HeadTest& t) {
  const auto length = [&t](Headers more, bool ended) {
    return request_length_from_http2(*request_from_http2(t.with(std::move(more))), ended);
  };
  assert_int_equal(length({}, true)->kind, BodyLength::Kind::none);
  assert_int_equal(length({}, false)->kind, BodyLength::Kind::chunked);
  const auto counted = length({{"content-length", "12"}}, false);
  assert_int_equal(counted->kind, BodyLength::Kind::counted);
  assert_int_equal(counted->bytes, 12);
  assert_int_equal(length({{"content-length", "0"}}, true)->bytes, 0);
  for (const char* bad : {"+1", "-1", "0x1", "1,1", "", "1 ", "99999999999999999999"}) {
    const auto head = RequestHead{"POST", "", "", "/", {{"content-length", bad}}};
    const bool passed = bool(request_length_from_http2(head, false));
    assert_false(passed);
  }
  const bool short_body = bool(length({{"content-length", "1"}}, true));
  assert_false(short_body);
}

void an_extended_connect_becomes_an_upgrade_and_back(Http2HeadTest& t) {
  t.websocket.push_back({"sec-websocket-protocol", "chat"});
  t.websocket.push_back({"content-length", "5"});
  auto head = request_from_http2(t.websocket);
  assert_true(bool(head));
  assert_string_equal(head->method.c_str(), "GET");
  assert_string_equal(head->path.c_str(), "/chat");
  assert_string_equal(t.value(head->headers, "Upgrade").c_str(), "websocket");
  assert_true(has_token(head->headers, "Connection", "upgrade"));
  assert_string_equal(t.value(head->headers, "Sec-WebSocket-Version").c_str(), "13");
  assert_string_equal(t.value(head->headers, "Content-Length").c_str(), "(none)");
  const auto key = from_base64(t.value(head->headers, "Sec-WebSocket-Key"));
  assert_true(bool(key));
  assert_int_equal(key->size(), 16);
  assert_int_equal(request_length_from_http2(*head, false)->kind, BodyLength::Kind::none);

  const Headers fields = request_to_http2(*head);
  assert_string_equal(t.value(fields, ":method").c_str(), "CONNECT");
  assert_string_equal(t.value(fields, ":protocol").c_str(), "websocket");
  assert_string_equal(t.value(fields, ":path").c_str(), "/chat");
  assert_string_equal(t.value(fields, "sec-websocket-protocol").c_str(), "chat");
  assert_string_equal(t.value(fields, "sec-websocket-key").c_str(), "(none)");
  assert_string_equal(t.value(fields, "upgrade").c_str(), "(none)");
  const bool again = bool(request_from_http2(fields));
  assert_true(again);
}

void each_websocket_has_a_key_of_its_own(Http2HeadTest& t) {
  t.websocket.push_back({"sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="});
  const auto one = request_from_http2(t.websocket);
  const auto two = request_from_http2(t.websocket);
  assert_true(one && two);
  assert_int_equal(count(one->headers, "Sec-WebSocket-Key"), 1);
  const bool same =
      t.value(one->headers, "Sec-WebSocket-Key") == t.value(two->headers, "Sec-WebSocket-Key");
  assert_false(same);
}

void other_protocols_are_not_let_through(Http2HeadTest& t) {
  t.websocket[1].value = "connect-udp";
  const auto head = request_from_http2(t.websocket);
  assert_false(bool(head));
  assert_int_equal(head.error().code, Errc::unsupported);
}

void a_plain_connect_has_an_authority_only(Http2HeadTest&) {
  const auto head = request_from_http2({{":method", "CONNECT"}, {":authority", "a.example:443"}});
  assert_true(bool(head));
  assert_string_equal(head->authority.c_str(), "a.example:443");
  assert_true(head->path.empty());
  const bool with_path = bool(request_from_http2(
      {{":method", "CONNECT"}, {":authority", "a.example:443"}, {":path", "/"}}));
  assert_false(with_path);
}

void a_response_is_read(Http2HeadTest&) {
  const auto head =
      response_from_http2({{":status", "200"}, {"set-cookie", "a"}, {"set-cookie", "b"}});
  assert_true(bool(head));
  assert_int_equal(head->status, 200);
  assert_int_equal(head->headers.size(), 2);
  const Headers bad[] = {
      {},
      {{":status", "101"}},
      {{":status", "20"}},
      {{":status", "2000"}},
      {{":status", "abc"}},
      {{":status", "200"}, {":status", "200"}},
      {{":status", "200"}, {":path", "/"}},
      {{"a", "1"}, {":status", "200"}},
      {{":status", "200"}, {"Content-Type", "text/html"}},
      {{":status", "200"}, {"transfer-encoding", "chunked"}},
      {{":status", "200"}, {"x", "1\r\nset-cookie: y"}},
  };
  for (const Headers& fields : bad) {
    const bool passed = bool(response_from_http2(fields));
    assert_false(passed);
  }
}

void trailers_are_no_head(Http2HeadTest&) {
  const auto trailers = trailers_from_http2({{"grpc-status", "0"}, {"grpc-message", ""}});
  assert_true(bool(trailers));
  assert_int_equal(trailers->size(), 2);
  const Header bad[] = {
      {":path", "/"}, {"content-length", "1"}, {"authorization", "x"},          {"connection", "x"},
      {"host", "x"},  {"Grpc-Status", "0"},    {"transfer-encoding", "chunked"}};
  for (const Header& field : bad) {
    const bool passed = bool(trailers_from_http2({field}));
    assert_false(passed);
  }
}

void a_request_of_http1_is_written(Http2HeadTest& t) {
  RequestHead head;
  head.method = "GET";
  head.scheme = "https";
  head.authority = "api.example.com";
  head.path = "/x";
  head.headers = {{"User-Agent", "curl"},    {"Connection", "TE, X-Hop"},
                  {"TE", "trailers"},        {"X-Hop", "1"},
                  {"Keep-Alive", "5"},       {"Proxy-Connection", "x"},
                  {"HTTP2-Settings", "AAA"}, {"Cookie", "a=1; b=2"}};
  const Headers fields = request_to_http2(head);
  assert_string_equal(fields[0].name.c_str(), ":method");
  assert_string_equal(t.value(fields, ":scheme").c_str(), "https");
  assert_string_equal(t.value(fields, ":authority").c_str(), "api.example.com");
  assert_string_equal(t.value(fields, "te").c_str(), "trailers");
  assert_string_equal(t.value(fields, "x-hop").c_str(), "(none)");
  assert_int_equal(fields.size(), 4 + 3);
  for (const Header& field : fields) {
    const bool is_lower = field.name == lower(field.name);
    assert_true(is_lower);
  }
  const bool readable = bool(request_from_http2(fields));
  assert_true(readable);
}

void a_response_of_http1_is_written(Http2HeadTest& t) {
  ResponseHead head;
  head.status = 404;
  head.headers = {{"Content-Type", "text/plain"}, {"Connection", "close"}, {"Upgrade", "h2c"}};
  const Headers fields = response_to_http2(head);
  assert_int_equal(fields.size(), 2);
  assert_string_equal(fields[0].value.c_str(), "404");
  assert_string_equal(fields[1].name.c_str(), "content-type");
  head.status = 101;
  head.headers = {{"Upgrade", "websocket"},
                  {"Connection", "Upgrade"},
                  {"Sec-WebSocket-Accept", "x"},
                  {"Sec-WebSocket-Protocol", "chat"}};
  const Headers switched = response_to_http2(head);
  assert_int_equal(switched.size(), 2);
  assert_string_equal(switched[0].value.c_str(), "200");
  assert_string_equal(t.value(switched, "sec-websocket-protocol").c_str(), "chat");
}

void trailers_of_http1_are_written_without_what_frames(Http2HeadTest&) {
  const Headers fields = trailers_to_http2({{"Grpc-Status", "0"}, {"Content-Length", "1"}});
  assert_int_equal(fields.size(), 1);
  assert_string_equal(fields[0].name.c_str(), "grpc-status");
}

void the_answer_to_a_key_is_the_one_of_the_rfc(Http2HeadTest&) {
  assert_string_equal(websocket_accept("dGhlIHNhbXBsZSBub25jZQ==").c_str(),
                      "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Http2HeadTest, a_request_is_read),
      MOAT_TEST(Http2HeadTest, what_two_readers_could_take_differently_is_refused),
      MOAT_TEST(Http2HeadTest, host_and_authority_are_one),
      MOAT_TEST(Http2HeadTest, crumbs_of_cookies_are_joined_where_the_first_stood),
      MOAT_TEST(Http2HeadTest, empty_crumbs_leave_no_trace),
      MOAT_TEST(Http2HeadTest, the_length_of_a_body_is_what_is_announced),
      MOAT_TEST(Http2HeadTest, an_extended_connect_becomes_an_upgrade_and_back),
      MOAT_TEST(Http2HeadTest, each_websocket_has_a_key_of_its_own),
      MOAT_TEST(Http2HeadTest, other_protocols_are_not_let_through),
      MOAT_TEST(Http2HeadTest, a_plain_connect_has_an_authority_only),
      MOAT_TEST(Http2HeadTest, a_response_is_read),
      MOAT_TEST(Http2HeadTest, trailers_are_no_head),
      MOAT_TEST(Http2HeadTest, a_request_of_http1_is_written),
      MOAT_TEST(Http2HeadTest, a_response_of_http1_is_written),
      MOAT_TEST(Http2HeadTest, trailers_of_http1_are_written_without_what_frames),
      MOAT_TEST(Http2HeadTest, the_answer_to_a_key_is_the_one_of_the_rfc),
  };
  return cmocka_run_group_tests_name("proxy/http2_head", tests, nullptr, nullptr);
}
