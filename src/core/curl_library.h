// libcurl, loaded when the first request is made: with the three dozen libraries that it brings it
// would cost every run some 6 ms and 5 MB, and most runs never make a request of their own.
#pragma once

#include <curl/curl.h>

#include "core/handle.h"
#include "core/result.h"

namespace moat {

struct CurlLibrary {
  decltype(&curl_easy_init) easy_init = nullptr;
  decltype(&curl_easy_cleanup) easy_cleanup = nullptr;
  decltype(&curl_easy_setopt) easy_setopt = nullptr;
  decltype(&curl_easy_getinfo) easy_getinfo = nullptr;
  decltype(&curl_easy_strerror) easy_strerror = nullptr;
  decltype(&curl_slist_append) slist_append = nullptr;
  decltype(&curl_slist_free_all) slist_free_all = nullptr;
  decltype(&curl_global_init) global_init = nullptr;
  decltype(&curl_version_info) version_info = nullptr;
  decltype(&curl_multi_init) multi_init = nullptr;
  decltype(&curl_multi_cleanup) multi_cleanup = nullptr;
  decltype(&curl_multi_setopt) multi_setopt = nullptr;
  decltype(&curl_multi_add_handle) multi_add_handle = nullptr;
  decltype(&curl_multi_remove_handle) multi_remove_handle = nullptr;
  decltype(&curl_multi_socket_action) multi_socket_action = nullptr;
  decltype(&curl_multi_info_read) multi_info_read = nullptr;
  decltype(&curl_multi_strerror) multi_strerror = nullptr;
  decltype(&curl_url) url = nullptr;
  decltype(&curl_url_cleanup) url_cleanup = nullptr;
  decltype(&curl_url_get) url_get = nullptr;
  decltype(&curl_url_set) url_set = nullptr;
  decltype(&curl_url_strerror) url_strerror = nullptr;
  decltype(&curl_free) free = nullptr;
};

// Loads and initialises it once; after that the same at no cost. Errc::unsupported where this
// machine has no libcurl.
Result<void> load_curl();
// Only after load_curl() has succeeded.
const CurlLibrary& curl();

inline void free_easy(CURL* easy) {
  curl().easy_cleanup(easy);
}
inline void free_multi(CURLM* multi) {
  curl().multi_cleanup(multi);
}
inline void free_url(CURLU* url) {
  curl().url_cleanup(url);
}
inline void free_text(char* text) {
  curl().free(text);
}

using CurlEasy = Handle<CURL, free_easy>;
using CurlMulti = Handle<CURLM, free_multi>;
using CurlUrl = Handle<CURLU, free_url>;
using CurlText = Handle<char, free_text>;

}  // namespace moat
