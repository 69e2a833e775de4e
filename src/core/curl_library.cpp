#include "core/curl_library.h"

#include <dlfcn.h>

#include <cassert>
#include <optional>

namespace moat {
namespace {

std::optional<CurlLibrary> library;

template <class Function>
bool find(void* handle, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(handle, name));
  return function != nullptr;
}

bool find_all(void* handle, CurlLibrary& found) {
  return find(handle, "curl_easy_init", found.easy_init) &&
         find(handle, "curl_easy_cleanup", found.easy_cleanup) &&
         find(handle, "curl_easy_setopt", found.easy_setopt) &&
         find(handle, "curl_easy_getinfo", found.easy_getinfo) &&
         find(handle, "curl_easy_strerror", found.easy_strerror) &&
         find(handle, "curl_slist_append", found.slist_append) &&
         find(handle, "curl_slist_free_all", found.slist_free_all) &&
         find(handle, "curl_global_init", found.global_init) &&
         find(handle, "curl_version_info", found.version_info) &&
         find(handle, "curl_multi_init", found.multi_init) &&
         find(handle, "curl_multi_cleanup", found.multi_cleanup) &&
         find(handle, "curl_multi_setopt", found.multi_setopt) &&
         find(handle, "curl_multi_add_handle", found.multi_add_handle) &&
         find(handle, "curl_multi_remove_handle", found.multi_remove_handle) &&
         find(handle, "curl_multi_socket_action", found.multi_socket_action) &&
         find(handle, "curl_multi_info_read", found.multi_info_read) &&
         find(handle, "curl_multi_strerror", found.multi_strerror) &&
         find(handle, "curl_url", found.url) &&
         find(handle, "curl_url_cleanup", found.url_cleanup) &&
         find(handle, "curl_url_get", found.url_get) &&
         find(handle, "curl_url_set", found.url_set) &&
         find(handle, "curl_url_strerror", found.url_strerror) &&
         find(handle, "curl_free", found.free);
}

}  // namespace

Result<void> load_curl() {
  if (library) return {};
  // Never closed again: OpenSSL, which it brings, does not bear it.
  void* handle = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr)
    return error(Errc::unsupported, "libcurl cannot be loaded (%s); install libcurl4", dlerror());
  CurlLibrary found;
  if (!find_all(handle, found))
    return error(Errc::unsupported, "libcurl is too old; moat needs 7.85 or newer");
  if (const CURLcode code = found.global_init(CURL_GLOBAL_DEFAULT); code != CURLE_OK)
    return error(Errc::io, "libcurl cannot be initialised: %s", found.easy_strerror(code));
  library = found;
  return {};
}

const CurlLibrary& curl() {
  assert(library);
  return *library;
}

}  // namespace moat
