#include "proxy/session_store.h"

#include <utility>

namespace moat::proxy {
namespace {

constexpr size_t max_sessions = 256;  // some 400 bytes each with its ticket: 100 KiB
// What is resumed rests on a verification that long ago; origins' tickets last longer.
constexpr int64_t max_age_ns = 3600 * int64_t{1'000'000'000};

}  // namespace

const SessionStore::Session* SessionStore::find(const std::string& key, int64_t now_ns) {
  const auto it = by_key_.find(key);
  if (it == by_key_.end()) return nullptr;
  if (now_ns - it->second->saved_ns > max_age_ns) {
    forget(key);
    return nullptr;
  }
  sessions_.splice(sessions_.begin(), sessions_, it->second);
  return it->second->session.get();
}

void SessionStore::keep(const std::string& key, std::unique_ptr<Session> session, int64_t now_ns) {
  forget(key);
  if (sessions_.size() >= max_sessions) forget(std::string(sessions_.back().key));
  sessions_.push_front({key, std::move(session), now_ns});
  by_key_[key] = sessions_.begin();
}

void SessionStore::forget(const std::string& key) {
  const auto it = by_key_.find(key);
  if (it == by_key_.end()) return;
  sessions_.erase(it->second);
  by_key_.erase(it);
}

}  // namespace moat::proxy
