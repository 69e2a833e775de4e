#include "core/fetch.h"

#include <curl/curl.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "core/fd.h"
#include "core/fetch_route.h"
#include "core/handle.h"
#include "core/text.h"

namespace moat {
namespace {

constexpr size_t max_ca_file = 4 * 1024 * 1024;
constexpr size_t max_headers = 256 * 1024;  // bytes of all response headers together
constexpr long connect_limit_ms = 30'000;   // also for requests without a limit of their own
constexpr long max_idle_connections = 4;    // kept for the next request, of any host

using Easy = Handle<CURL, curl_easy_cleanup>;
using Multi = Handle<CURLM, curl_multi_cleanup>;

// curl's own list of strings, wiped: headers carry credentials.
class List {
 public:
  List() = default;
  List(const List&) = delete;
  List& operator=(const List&) = delete;
  ~List() {
    for (curl_slist* item = head_; item != nullptr; item = item->next)
      wipe(item->data, std::char_traits<char>::length(item->data));
    curl_slist_free_all(head_);
  }
  void add(const std::string& text) { head_ = curl_slist_append(head_, text.c_str()); }
  [[nodiscard]] curl_slist* get() const { return head_; }

 private:
  curl_slist* head_ = nullptr;
};

void start_curl() {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (started == CURLE_OK) return;
  fprintf(stderr, "moat: libcurl cannot be initialised: %s\n", curl_easy_strerror(started));
  abort();
}

Errc errc_of(CURLcode code) {
  switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return Errc::invalid;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
      return Errc::dns;
    case CURLE_OPERATION_TIMEDOUT:
      return Errc::timeout;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
      return Errc::tls;
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
      return Errc::closed;
    default:
      return Errc::io;
  }
}

// The system's roots and those of `path`, in one piece: curl takes either, not both.
Result<std::string> roots_with(const std::string& path) {
  const curl_version_info_data* info = curl_version_info(CURLVERSION_NOW);
  auto own = read_file(path, max_ca_file);
  if (!own) return own.error();
  if (own->find("-----BEGIN CERTIFICATE-----") == std::string::npos)
    return error(Errc::invalid, "%s holds no certificate in PEM", path.c_str());
  // Where the system has no bundle, the file's roots are all there are.
  const auto system = read_file(info->cainfo != nullptr ? info->cainfo : "", max_ca_file);
  return system ? *system + "\n" + *own : *own;
}

bool is_header_safe(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

// One request. libcurl keeps pointers into it, so it stays where it is.
struct Transfer {
  Transfer(Loop& loop, FetchRequest what, Fetcher::Done when_done, std::function<void()> late)
      : request(std::move(what)), done(std::move(when_done)), deadline(loop, std::move(late)) {}
  ~Transfer() { wipe(request.body); }
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  static size_t on_body(char* bytes, size_t, size_t size, void* self) noexcept;
  static size_t on_header(char* bytes, size_t, size_t size, void* self) noexcept;

  FetchRequest request;
  Fetcher::Done done;
  Route route;
  std::unique_ptr<Resolver::Query> query;
  List headers;
  List resolve;
  List connect_to;
  std::string roots;
  char trouble[CURL_ERROR_SIZE] = "";
  Easy easy;  // depends-on: all of the above
  bool added = false;
  std::optional<Error> failure;  // why a callback has stopped the transfer
  FetchResponse response;
  size_t header_bytes = 0;
  // For request.on_body, which is called outside of libcurl: at most what one turn brings,
  // libcurl's 100 reads of 16 KiB.
  std::string piece;
  Timer deadline;
};

size_t Transfer::on_body(char* bytes, size_t, size_t size, void* self) noexcept {
  auto* transfer = static_cast<Transfer*>(self);
  const FetchRequest& request = transfer->request;
  std::string& into = request.on_body ? transfer->piece : transfer->response.body;
  if (!request.on_body && size > request.max_body - into.size()) {
    transfer->failure =
        error(Errc::too_large, "the answer is larger than %zu bytes", request.max_body);
    return 0;
  }
  into.append(bytes, size);
  return size;
}

size_t Transfer::on_header(char* bytes, size_t, size_t size, void* self) noexcept {
  auto* transfer = static_cast<Transfer*>(self);
  std::string_view line(bytes, size);
  transfer->header_bytes += size;
  if (transfer->header_bytes > max_headers) {
    transfer->failure =
        error(Errc::too_large, "the answer's headers are larger than %zu bytes", max_headers);
    return 0;
  }
  const size_t colon = line.find(':');
  if (line.substr(0, 5) == "HTTP/") {
    transfer->response.headers.clear();  // those were of an interim answer
  } else if (colon != std::string_view::npos) {
    transfer->response.headers[lower(line.substr(0, colon))] = trim(line.substr(colon + 1));
  }
  return size;
}

// Everything that the request says, told to libcurl.
Result<void> prepare_headers(Transfer& transfer) {
  const FetchRequest& request = transfer.request;
  bool typed = false;
  for (const auto& [name, value] : request.headers) {
    if (name.empty() || name.find(':') != std::string::npos || !is_header_safe(name) ||
        !is_header_safe(value))
      return error(Errc::invalid, "the header '%s' cannot be sent", printable(name).c_str());
    typed = typed || equals_ignoring_case(name, "content-type");
    transfer.headers.add(value.empty() ? name + ";" : name + ": " + value);
  }
  if (!request.bearer.empty()) {
    if (!is_header_safe(request.bearer.reveal()))
      return error(Errc::invalid, "the credential holds a line break and cannot be sent");
    std::string line = "Authorization: Bearer ";
    line.reserve(line.size() + request.bearer.size());
    line += request.bearer.reveal();
    transfer.headers.add(line);
    wipe(line);
  }
  if (!typed) transfer.headers.add("Content-Type:");  // or curl would name one for a body
  transfer.headers.add("Expect:");
  return {};
}

void prepare_method(Transfer& transfer) {
  CURL* easy = transfer.easy.get();
  const FetchRequest& request = transfer.request;
  const bool sends = !request.body.empty() || request.method == "POST" || request.method == "PUT" ||
                     request.method == "PATCH";
  if (sends) {
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request.body.data());
  }
  if (request.method == "HEAD") {
    curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
  } else if (request.method != (sends ? "POST" : "GET")) {
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
}

Result<void> prepare(Transfer& transfer) {
  transfer.easy.reset(curl_easy_init());
  CURL* easy = transfer.easy.get();
  const FetchRequest& request = transfer.request;
  const Route& route = transfer.route;
  if (easy == nullptr) return error(Errc::io, "libcurl is out of memory");
  if (auto ok = prepare_headers(transfer); !ok) return ok;
  if (!request.ca_file.empty()) {
    auto roots = roots_with(request.ca_file);
    if (!roots) return roots.error();
    transfer.roots = std::move(*roots);
    curl_blob blob{transfer.roots.data(), transfer.roots.size(), CURL_BLOB_NOCOPY};
    curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
  }
  prepare_method(transfer);
  curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer.headers.get());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_PROXY, route.proxy.c_str());  // "": not the environment's
  curl_easy_setopt(easy, CURLOPT_NOPROXY, "");                 // the route knows already
  curl_easy_setopt(easy, CURLOPT_RESOLVE, transfer.resolve.get());
  if (!route.connect_to.empty()) {
    transfer.connect_to.add(route.connect_to);
    curl_easy_setopt(easy, CURLOPT_CONNECT_TO, transfer.connect_to.get());
  }
  if (!request.unix_socket.empty())
    curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, request.unix_socket.c_str());
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "moat");
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, connect_limit_ms);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer.trouble);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, Transfer::on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, Transfer::on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
  return {};
}

Error transfer_error(const Transfer& transfer, CURLcode code) {
  if (transfer.failure) return *transfer.failure;
  long os_error = 0;
  curl_easy_getinfo(transfer.easy.get(), CURLINFO_OS_ERRNO, &os_error);
  const bool connecting = code == CURLE_COULDNT_CONNECT && os_error != 0;
  const char* why = transfer.trouble[0] != '\0' ? transfer.trouble : curl_easy_strerror(code);
  return {connecting ? errc_from_errno(static_cast<int>(os_error)) : errc_of(code), printable(why)};
}

}  // namespace

struct Fetcher::Impl {
  Impl(Loop& on, Resolver::Files files)
      : loop(on),
        resolver(on, std::move(files)),
        starter(on, [this] { start_waiting(); }),
        clock(on, [this] { act(CURL_SOCKET_TIMEOUT, 0); }) {}
  ~Impl();
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  bool open();
  void start_waiting();
  void start(uint64_t id);
  void resolved(uint64_t id, Result<std::vector<SocketAddress>> addresses);
  void add(uint64_t id);
  void act(curl_socket_t socket, int what);
  void hand_out();
  void finish(uint64_t id, Result<FetchResponse> result);
  void drop(uint64_t id);

  static int on_socket(CURL*, curl_socket_t socket, int what, void* self, void*) noexcept;
  static int on_timer(CURLM*, long delay_ms, void* self) noexcept;

  Loop& loop;
  Resolver resolver;
  Multi multi;  // made with the first request
  std::map<curl_socket_t, std::unique_ptr<Watch>> watches;
  std::map<uint64_t, std::unique_ptr<Transfer>> transfers;
  std::vector<uint64_t> waiting;  // asked for, not yet begun
  uint64_t last_id = 0;
  Timer starter;
  Timer clock;                // libcurl's
  bool* destroyed = nullptr;  // set while callbacks of others run, which may destroy us
};

Fetcher::Impl::~Impl() {
  if (destroyed != nullptr) *destroyed = true;
  while (!transfers.empty()) drop(transfers.begin()->first);
  // libcurl still calls these while it closes its connections.
  if (multi) {
    curl_multi_setopt(multi.get(), CURLMOPT_SOCKETFUNCTION, nullptr);
    curl_multi_setopt(multi.get(), CURLMOPT_TIMERFUNCTION, nullptr);
  }
  watches.clear();
  multi.reset();
}

bool Fetcher::Impl::open() {
  if (multi) return true;
  start_curl();
  multi.reset(curl_multi_init());
  if (!multi) return false;
  curl_multi_setopt(multi.get(), CURLMOPT_SOCKETFUNCTION, on_socket);
  curl_multi_setopt(multi.get(), CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi.get(), CURLMOPT_TIMERFUNCTION, on_timer);
  curl_multi_setopt(multi.get(), CURLMOPT_TIMERDATA, this);
  curl_multi_setopt(multi.get(), CURLMOPT_MAXCONNECTS, max_idle_connections);
  return true;
}

// libcurl may drop a socket from inside that socket's own callback, and close it at once. A Watch
// allows that: it leaves the loop now, and its callback's own state lives until it returns.
int Fetcher::Impl::on_socket(CURL*, curl_socket_t socket, int what, void* self, void*) noexcept {
  auto* impl = static_cast<Impl*>(self);
  if (what == CURL_POLL_REMOVE) {
    impl->watches.erase(socket);
    return 0;
  }
  auto& watch = impl->watches[socket];
  if (!watch) {
    watch = std::make_unique<Watch>(
        impl->loop, socket,
        [impl, socket](Ready ready) {
          impl->act(socket,
                    (ready.read ? CURL_CSELECT_IN : 0) | (ready.write ? CURL_CSELECT_OUT : 0));
        },
        Priority::control);
  }
  watch->want((what & CURL_POLL_IN) != 0, (what & CURL_POLL_OUT) != 0);
  return 0;
}

int Fetcher::Impl::on_timer(CURLM*, long delay_ms, void* self) noexcept {
  auto* impl = static_cast<Impl*>(self);
  if (delay_ms < 0) {
    impl->clock.stop();
  } else {
    impl->clock.start(Milliseconds(delay_ms));
  }
  return 0;
}

void Fetcher::Impl::start_waiting() {
  bool gone = false;
  destroyed = &gone;
  for (const uint64_t id : std::exchange(waiting, {})) {
    start(id);
    if (gone) return;
  }
  destroyed = nullptr;
}

void Fetcher::Impl::start(uint64_t id) {
  const auto found = transfers.find(id);
  if (found == transfers.end()) return;
  Transfer& transfer = *found->second;
  if (!open()) return finish(id, error(Errc::io, "libcurl cannot be started"));
  const std::string& socket = transfer.request.unix_socket;
  auto route = socket.empty()
                   ? route_of(transfer.request.url, transfer.request.connect_to,
                              [](const char* name) { return getenv(name); })
                   : route_of(transfer.request.url, {}, [](const char*) { return nullptr; });
  if (!route) return finish(id, route.error());
  transfer.route = std::move(*route);
  if (!socket.empty()) {
    transfer.route.label += " on " + printable(socket);
    return add(id);
  }
  transfer.query = resolver.resolve(transfer.route.host, transfer.route.port,
                                    [this, id](Result<std::vector<SocketAddress>> addresses) {
                                      resolved(id, std::move(addresses));
                                    });
}

void Fetcher::Impl::resolved(uint64_t id, Result<std::vector<SocketAddress>> addresses) {
  Transfer& transfer = *transfers.at(id);
  if (!addresses) return finish(id, addresses.error());
  // A literal address is nothing that curl would look up.
  if (!SocketAddress::from_ip(transfer.route.host, 0)) {
    std::string entry = transfer.route.host + ":" + std::to_string(transfer.route.port) + ":";
    for (size_t i = 0; i < addresses->size(); ++i) {
      const std::string ip = (*addresses)[i].ip();
      entry += (i > 0 ? "," : "") + (ip.find(':') == std::string::npos ? ip : "[" + ip + "]");
    }
    transfer.resolve.add(entry);
  }
  add(id);
}

void Fetcher::Impl::add(uint64_t id) {
  Transfer& transfer = *transfers.at(id);
  if (auto ok = prepare(transfer); !ok) return finish(id, ok.error());
  const CURLMcode code = curl_multi_add_handle(multi.get(), transfer.easy.get());
  if (code != CURLM_OK) return finish(id, error(Errc::io, "%s", curl_multi_strerror(code)));
  transfer.added = true;
  curl_easy_setopt(transfer.easy.get(), CURLOPT_PRIVATE, reinterpret_cast<char*>(id));
}

void Fetcher::Impl::act(curl_socket_t socket, int what) {
  int running = 0;
  curl_multi_socket_action(multi.get(), socket, what, &running);
  hand_out();
}

// Calls back what libcurl has brought, now that libcurl is not on the stack: a callback may fetch,
// cancel, or destroy the Fetcher.
void Fetcher::Impl::hand_out() {
  bool gone = false;
  destroyed = &gone;
  std::vector<uint64_t> ids;
  for (const auto& [id, transfer] : transfers) {
    if (!transfer->piece.empty()) ids.push_back(id);
  }
  for (const uint64_t id : ids) {
    const auto found = transfers.find(id);
    if (found == transfers.end()) continue;
    const std::string piece = std::exchange(found->second->piece, {});
    const auto call = found->second->request.on_body;
    call(piece);
    if (gone) return;
  }
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi.get(), &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode code = message->data.result;
    char* label = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &label);
    const auto id = reinterpret_cast<uint64_t>(label);
    Transfer& transfer = *transfers.at(id);
    if (code == CURLE_OK) {
      long status = 0;
      curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &status);
      transfer.response.status = static_cast<int>(status);
      finish(id, std::move(transfer.response));
    } else {
      finish(id, transfer_error(transfer, code));
    }
    if (gone) return;
  }
  destroyed = nullptr;
}

// The transfer leaves before its owner hears of it.
void Fetcher::Impl::finish(uint64_t id, Result<FetchResponse> result) {
  const auto found = transfers.find(id);
  if (found == transfers.end()) return;
  const auto done = std::move(found->second->done);
  const std::string& label = found->second->route.label;
  const std::string what = found->second->request.method + (label.empty() ? "" : " " + label);
  drop(id);
  done(result ? std::move(result) : Result<FetchResponse>(result.error().in(what)));
}

void Fetcher::Impl::drop(uint64_t id) {
  const auto found = transfers.find(id);
  if (found == transfers.end()) return;
  const auto transfer = std::move(found->second);
  transfers.erase(found);
  if (transfer->added) curl_multi_remove_handle(multi.get(), transfer->easy.get());
}

Fetcher::Fetcher(Loop& loop, Resolver::Files files)
    : impl_(std::make_unique<Impl>(loop, std::move(files))) {}

Fetcher::~Fetcher() = default;

uint64_t Fetcher::fetch(FetchRequest request, Done done) {
  const uint64_t id = ++impl_->last_id;
  const Milliseconds limit = request.limit;
  auto late = [impl = impl_.get(), id] {
    impl->finish(id, error(Errc::timeout, "no answer in time"));
  };
  auto transfer =
      std::make_unique<Transfer>(impl_->loop, std::move(request), std::move(done), std::move(late));
  if (limit > Milliseconds(0)) transfer->deadline.start(limit);
  impl_->transfers.emplace(id, std::move(transfer));
  impl_->waiting.push_back(id);
  impl_->starter.start(Milliseconds(0));
  return id;
}

void Fetcher::cancel(uint64_t id) {
  impl_->drop(id);
}

}  // namespace moat
