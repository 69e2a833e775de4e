#include "redirect_listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "core/stream.h"
#include "core/text.h"
#include "proxy/http1.h"

namespace moat {
namespace {

constexpr size_t most_clients = 8;       // the others wait to be accepted
constexpr size_t most_input = 8 * 1024;  // a request's head
constexpr size_t most_headers = 100;
constexpr Milliseconds patience{10'000};  // for a request, and for its sender to leave

struct Page {
  int status;
  const char* reason;
  const char* text;
};
constexpr Page granted = {200, "OK", "The answer has reached moat. You can close this page now."};
constexpr Page failed = {200, "OK", "Access was not granted. The terminal says why."};
constexpr Page no_answer = {400, "Bad Request", "This is no answer to what moat has asked for."};
constexpr Page not_here = {404, "Not Found", "There is nothing here."};
constexpr Page only_get = {405, "Method Not Allowed", "Only GET will do."};
constexpr Page too_long = {431, "Request Header Fields Too Large", "This is too long."};

// Nothing of the request is in there, and a browser is to take nothing from it nor tell of it: its
// address has the code.
std::string text_of(const Page& page) {
  const std::string body = std::string(
                               "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                               "<title>moat</title></head>\n<body><p>") +
                           page.text + "</p></body></html>\n";
  return format("HTTP/1.1 %d %s\r\n", page.status, page.reason) +
         (page.status == only_get.status ? "Allow: GET\r\n" : "") +
         "Content-Type: text/html; charset=utf-8\r\n"
         "Cache-Control: no-store\r\n"
         "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n"
         "Referrer-Policy: no-referrer\r\n"
         "X-Content-Type-Options: nosniff\r\n"
         "Connection: close\r\n" +
         format("Content-Length: %zu\r\n\r\n", body.size()) + body;
}

proxy::Http1Limits limits() {
  proxy::Http1Limits limits;
  limits.head_bytes = most_input;
  limits.target_bytes = most_input;
  limits.header_count = most_headers;
  return limits;
}

}  // namespace

// One connection: a request comes, a page goes, and that is all.
class RedirectListener::Client : private Stream::Handler, private proxy::Http1Handler {
 public:
  Client(RedirectListener& listener, Fd fd)
      : listener_(listener),
        reader_(proxy::Http1Reader::Role::requests, *this, limits()),
        late_(listener.loop_, [this] { leave(); }),
        stream_(listener.loop_, std::move(fd), *this, {most_input + 1, most_input}) {
    late_.start(patience);
  }

 private:
  void on_input(Stream& stream) override {
    if (!answered_) {
      const auto taken = reader_.feed(stream.input());
      if (!taken && !request_)
        return answer(taken.error().code == Errc::too_large ? too_long : no_answer);
      if (request_) return answer(page_for(*request_));
      if (stream.input().size() - *taken > most_input) return answer(too_long);
      return stream.consume(*taken);
    }
    stream.consume(stream.input().size());
  }
  void on_end(Stream& /*stream*/) override { leave(); }
  void on_drained(Stream& /*stream*/) override {}
  void on_error(Stream& /*stream*/, const Error& /*error*/) override { leave(); }

  Result<void> on_request(proxy::RequestHead head, proxy::BodyLength length) override {
    has_body_ = length.kind != proxy::BodyLength::Kind::none;
    request_ = std::move(head);
    reader_.hold();
    return {};
  }
  Result<void> on_response(proxy::ResponseHead /*head*/, proxy::BodyLength /*length*/) override {
    return {};
  }
  Result<void> on_body(std::string_view /*bytes*/) override { return {}; }
  Result<void> on_trailers(proxy::Headers /*trailers*/) override { return {}; }
  Result<void> on_message_end() override { return {}; }

  const Page& page_for(const proxy::RequestHead& request) {
    const std::string_view target = request.path;
    const size_t mark = std::min(target.find('?'), target.size());
    if (!listener_.is_for_us(request.authority)) return no_answer;
    if (target.substr(0, mark) != listener_.place_.path) return not_here;
    if (request.method != "GET") return only_get;
    if (has_body_ || !listener_.on_query_ || mark == target.size()) return no_answer;
    switch (listener_.on_query_(target.substr(mark + 1))) {
      case Verdict::granted:
        return granted;
      case Verdict::failed:
        return failed;
      case Verdict::none:
        break;
    }
    return no_answer;
  }

  void answer(const Page& page) {
    answered_ = true;
    stream_.consume(stream_.input().size());
    stream_.write(text_of(page));
    stream_.end_writing();
  }
  void leave() {
    stream_.close();
    late_.stop();
    left_ = true;
    listener_.prune_.start(Milliseconds(0));
  }

  friend class RedirectListener;
  RedirectListener& listener_;
  proxy::Http1Reader reader_;
  Timer late_;
  Stream stream_;
  std::optional<proxy::RequestHead> request_;
  bool has_body_ = false;
  bool answered_ = false;
  bool left_ = false;
};

Result<std::unique_ptr<RedirectListener>> RedirectListener::open(Loop& loop, RedirectPlace place) {
  Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return errno_error("cannot make a socket");
  const int on = 1;  // a port that was used a moment ago will do
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(place.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  if (bind(fd.get(), generic, size) != 0 || listen(fd.get(), 16) != 0) {
    if (errno != EADDRINUSE) return errno_error("cannot listen on 127.0.0.1");
    return error(
        Errc::busy,
        "port %d of 127.0.0.1, to which the service sends browsers back, is taken: end the "
        "program that has it",
        place.port);
  }
  if (getsockname(fd.get(), generic, &size) != 0) return errno_error("cannot listen on 127.0.0.1");
  return std::unique_ptr<RedirectListener>(
      new RedirectListener(loop, std::move(fd), std::move(place), ntohs(address.sin_port)));
}

RedirectListener::RedirectListener(Loop& loop, Fd fd, RedirectPlace place, uint16_t port)
    : loop_(loop),
      place_(std::move(place)),
      port_(port),
      uri_("http://" + place_.host + ":" + std::to_string(port) + place_.path),
      fd_(std::move(fd)),
      watch_(
          loop, fd_.get(), [this](Ready) { accept_one(); }, Priority::control),
      prune_(loop, [this] { prune(); }) {}

RedirectListener::~RedirectListener() = default;

void RedirectListener::begin(OnQuery on_query) {
  on_query_ = std::move(on_query);
  watch_.want(true, false);
}

void RedirectListener::stop() {
  watch_.want(false, false);
  fd_.reset();
}

void RedirectListener::accept_one() {
  Fd fd(accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!fd) return;
  clients_.push_back(std::make_unique<Client>(*this, std::move(fd)));
  if (clients_.size() >= most_clients) watch_.want(false, false);
}

void RedirectListener::prune() {
  std::erase_if(clients_, [](const auto& client) { return client->left_; });
  if (fd_ && clients_.size() < most_clients) watch_.want(true, false);
}

// A page elsewhere may have its name resolved to 127.0.0.1: that name is not ours.
bool RedirectListener::is_for_us(std::string_view authority) const {
  const std::string port = ":" + std::to_string(port_);
  return authority == "127.0.0.1" + port || authority == "localhost" + port;
}

}  // namespace moat
