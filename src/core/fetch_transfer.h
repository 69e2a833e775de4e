// One request of a Fetcher's, as libcurl is told of it and as it fills in the response. It waits
// for nothing: the Fetcher drives it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/curl_library.h"
#include "core/fetch.h"
#include "core/fetch_route.h"

namespace moat {

// curl's own list of strings, wiped: headers carry credentials.
class CurlList {
 public:
  CurlList() = default;
  CurlList(const CurlList&) = delete;
  CurlList& operator=(const CurlList&) = delete;
  ~CurlList() {
    for (curl_slist* item = head_; item != nullptr; item = item->next)
      wipe(item->data, std::char_traits<char>::length(item->data));
    if (head_ != nullptr) curl().slist_free_all(head_);
  }
  void add(const std::string& text) { head_ = curl().slist_append(head_, text.c_str()); }
  [[nodiscard]] curl_slist* get() const { return head_; }

 private:
  curl_slist* head_ = nullptr;
};

// libcurl keeps pointers into it, so it stays where it is.
struct FetchTransfer {
  FetchTransfer(Loop& loop, FetchRequest what, Fetcher::Done when_done, std::function<void()> late)
      : request(std::move(what)), done(std::move(when_done)), deadline(loop, std::move(late)) {}
  ~FetchTransfer() { wipe(request.body); }
  FetchTransfer(const FetchTransfer&) = delete;
  FetchTransfer& operator=(const FetchTransfer&) = delete;

  // Makes `easy` and tells it all that the request and its route say.
  Result<void> prepare();
  [[nodiscard]] Result<void> may_connect(const std::vector<SocketAddress>& addresses) const;
  // What libcurl, or a callback, says was wrong.
  [[nodiscard]] Error why(CURLcode code) const;

  static size_t on_body(char* bytes, size_t, size_t size, void* self) noexcept;
  static size_t on_header(char* bytes, size_t, size_t size, void* self) noexcept;

  FetchRequest request;
  Fetcher::Done done;
  Route route;
  std::unique_ptr<Resolver::Query> query;
  CurlList headers;
  CurlList resolve;
  CurlList connect_to;
  std::string roots;
  char trouble[CURL_ERROR_SIZE] = "";
  CurlEasy easy;  // depends-on: all of the above
  bool added = false;
  std::optional<Error> failure;  // why a callback has stopped the transfer
  FetchResponse response;
  size_t header_bytes = 0;
  // For request.on_body, which is called outside of libcurl: at most what one turn brings,
  // libcurl's 100 reads of 16 KiB.
  std::string piece;
  Timer deadline;
};

}  // namespace moat
