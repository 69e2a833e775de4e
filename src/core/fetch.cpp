#include "core/fetch.h"

#include <cstdlib>
#include <utility>

#include "core/curl_library.h"
#include "core/fetch_route.h"
#include "core/fetch_transfer.h"
#include "core/text.h"

namespace moat {
namespace {

constexpr long max_idle_connections = 4;  // kept for the next request, of any host

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

  Result<void> open();
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
  CurlMulti multi;  // made with the first request
  std::map<curl_socket_t, std::unique_ptr<Watch>> watches;
  std::map<uint64_t, std::unique_ptr<FetchTransfer>> transfers;
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
    curl().multi_setopt(multi.get(), CURLMOPT_SOCKETFUNCTION, nullptr);
    curl().multi_setopt(multi.get(), CURLMOPT_TIMERFUNCTION, nullptr);
  }
  watches.clear();
  multi.reset();
}

Result<void> Fetcher::Impl::open() {
  if (multi) return {};
  if (auto loaded = load_curl(); !loaded) return loaded;
  multi.reset(curl().multi_init());
  if (!multi) return error(Errc::io, "libcurl is out of memory");
  curl().multi_setopt(multi.get(), CURLMOPT_SOCKETFUNCTION, on_socket);
  curl().multi_setopt(multi.get(), CURLMOPT_SOCKETDATA, this);
  curl().multi_setopt(multi.get(), CURLMOPT_TIMERFUNCTION, on_timer);
  curl().multi_setopt(multi.get(), CURLMOPT_TIMERDATA, this);
  curl().multi_setopt(multi.get(), CURLMOPT_MAXCONNECTS, max_idle_connections);
  return {};
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
  FetchTransfer& transfer = *found->second;
  if (auto opened = open(); !opened) return finish(id, opened.error());
  const std::string& socket = transfer.request.unix_socket;
  auto route = socket.empty()
                   ? route_of(
                         transfer.request.url, transfer.request.connect_to,
                         transfer.request.environment
                             ? transfer.request.environment
                             : [](const char* name) -> const char* { return getenv(name); })
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
  FetchTransfer& transfer = *transfers.at(id);
  if (!addresses) return finish(id, addresses.error());
  if (auto good = transfer.may_connect(*addresses); !good) return finish(id, good.error());
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
  FetchTransfer& transfer = *transfers.at(id);
  if (auto ok = transfer.prepare(); !ok) return finish(id, ok.error());
  const CURLMcode code = curl().multi_add_handle(multi.get(), transfer.easy.get());
  if (code != CURLM_OK) return finish(id, error(Errc::io, "%s", curl().multi_strerror(code)));
  transfer.added = true;
  // curl keeps the number for us, in the shape of a pointer.
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  curl().easy_setopt(transfer.easy.get(), CURLOPT_PRIVATE, reinterpret_cast<char*>(id));
}

void Fetcher::Impl::act(curl_socket_t socket, int what) {
  int running = 0;
  curl().multi_socket_action(multi.get(), socket, what, &running);
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
  while (const CURLMsg* message = curl().multi_info_read(multi.get(), &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode code = message->data.result;
    char* label = nullptr;
    curl().easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &label);
    const auto id = reinterpret_cast<uint64_t>(label);
    FetchTransfer& transfer = *transfers.at(id);
    if (code == CURLE_OK) {
      long status = 0;
      curl().easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &status);
      transfer.response.status = static_cast<int>(status);
      finish(id, std::move(transfer.response));
    } else {
      finish(id, transfer.why(code));
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
  if (transfer->added) curl().multi_remove_handle(multi.get(), transfer->easy.get());
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
  auto transfer = std::make_unique<FetchTransfer>(impl_->loop, std::move(request), std::move(done),
                                                  std::move(late));
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
