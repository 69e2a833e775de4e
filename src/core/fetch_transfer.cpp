#include "core/fetch_transfer.h"

#include <string_view>
#include <vector>

#include "core/fd.h"
#include "core/text.h"

namespace moat {
namespace {

constexpr size_t max_ca_file = 4 * 1024 * 1024;
constexpr size_t max_headers = 256 * 1024;  // bytes of all response headers together
constexpr long connect_limit_ms = 30'000;   // also for requests without a limit of their own

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

// The system's roots and those of the files, in one piece: curl takes either, not both.
Result<std::string> roots_with(const std::vector<std::string>& paths) {
  const curl_version_info_data* info = curl().version_info(CURLVERSION_NOW);
  // Where the system has no bundle, the files' roots are all there are.
  const auto system = read_file(info->cainfo != nullptr ? info->cainfo : "", max_ca_file);
  std::string roots = system ? *system : "";
  for (const std::string& path : paths) {
    auto own = read_file(path, max_ca_file);
    if (!own) return own.error();
    if (own->find("-----BEGIN CERTIFICATE-----") == std::string::npos)
      return error(Errc::invalid, "%s holds no certificate in PEM", path.c_str());
    roots.append("\n").append(*own);
  }
  return roots;
}

bool is_header_safe(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

Result<void> prepare_headers(FetchTransfer& transfer) {
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
  for (const auto& [name, value] : request.secret_headers) {
    if (name.empty() || !is_header_safe(name) || !is_header_safe(value.reveal()))
      return error(Errc::invalid, "the header '%s' cannot be sent", printable(name).c_str());
    std::string line = name + ": ";
    line.reserve(line.size() + value.size());
    line += value.reveal();
    transfer.headers.add(line);
    wipe(line);
  }
  if (!typed) transfer.headers.add("Content-Type:");  // or curl would name one for a body
  transfer.headers.add("Expect:");
  return {};
}

void prepare_method(FetchTransfer& transfer) {
  CURL* easy = transfer.easy.get();
  const FetchRequest& request = transfer.request;
  const bool sends = !request.body.empty() || request.method == "POST" || request.method == "PUT" ||
                     request.method == "PATCH";
  if (sends) {
    curl().easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                       static_cast<curl_off_t>(request.body.size()));
    curl().easy_setopt(easy, CURLOPT_POSTFIELDS, request.body.data());
  }
  if (request.method == "HEAD") {
    curl().easy_setopt(easy, CURLOPT_NOBODY, 1L);
  } else if (request.method != (sends ? "POST" : "GET")) {
    curl().easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
}

}  // namespace

size_t FetchTransfer::on_body(char* bytes, size_t, size_t size, void* self) noexcept {
  auto* transfer = static_cast<FetchTransfer*>(self);
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

size_t FetchTransfer::on_header(char* bytes, size_t, size_t size, void* self) noexcept {
  auto* transfer = static_cast<FetchTransfer*>(self);
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

Result<void> FetchTransfer::prepare() {
  easy.reset(curl().easy_init());
  CURL* handle = easy.get();
  if (handle == nullptr) return error(Errc::io, "libcurl is out of memory");
  const auto set = [handle](CURLoption option, auto value) {
    curl().easy_setopt(handle, option, value);
  };
  if (auto ok = prepare_headers(*this); !ok) return ok;
  std::vector<std::string> ca_files = request.more_ca_files;
  if (!request.ca_file.empty()) ca_files.push_back(request.ca_file);
  if (!ca_files.empty()) {
    auto found = roots_with(ca_files);
    if (!found) return found.error();
    roots = std::move(*found);
    curl_blob blob{roots.data(), roots.size(), CURL_BLOB_NOCOPY};
    set(CURLOPT_CAINFO_BLOB, &blob);
  }
  prepare_method(*this);
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_HTTPHEADER, headers.get());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_PROXY, route.proxy.c_str());  // "": not the environment's
  set(CURLOPT_NOPROXY, "");                 // the route knows already
  set(CURLOPT_RESOLVE, resolve.get());
  if (!route.connect_to.empty()) {
    connect_to.add(route.connect_to);
    set(CURLOPT_CONNECT_TO, connect_to.get());
  }
  if (!request.unix_socket.empty()) set(CURLOPT_UNIX_SOCKET_PATH, request.unix_socket.c_str());
  set(CURLOPT_SSL_VERIFYPEER, 1L);
  set(CURLOPT_SSL_VERIFYHOST, 2L);
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_PATH_AS_IS, 1L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_USERAGENT, "moat");
  set(CURLOPT_CONNECTTIMEOUT_MS, connect_limit_ms);
  set(CURLOPT_ERRORBUFFER, trouble);
  set(CURLOPT_WRITEFUNCTION, on_body);
  set(CURLOPT_WRITEDATA, this);
  set(CURLOPT_HEADERFUNCTION, on_header);
  set(CURLOPT_HEADERDATA, this);
  return {};
}

Result<void> FetchTransfer::may_connect(const std::vector<SocketAddress>& addresses) const {
  if (!request.objection || !route.connect_to.empty() || !route.proxy.empty()) return {};
  for (const SocketAddress& address : addresses) {
    if (const auto why = request.objection(address))
      return Error{Errc::denied, "it may not be asked: " + *why};
  }
  return {};
}

Error FetchTransfer::why(CURLcode code) const {
  if (failure) return *failure;
  long os_error = 0;
  curl().easy_getinfo(easy.get(), CURLINFO_OS_ERRNO, &os_error);
  const bool connecting = code == CURLE_COULDNT_CONNECT && os_error != 0;
  const char* text = trouble[0] != '\0' ? trouble : curl().easy_strerror(code);
  return {connecting ? errc_from_errno(static_cast<int>(os_error)) : errc_of(code),
          printable(text)};
}

}  // namespace moat
