// Refresher: an OAuth 2.0 access token that is renewed while a run lives (RFC 6749 section 6):
// before it expires, and when a service has refused it. One that another program renews is read
// again where that keeps it.
//
// All runs of a user share what is in the vault. A lock on a file beside it lets one of them at a
// time speak to the token endpoint; who has it reads the vault again first, for another may have
// put a newer token there. So a hundred runs make one request, and a refresh token that is good for
// one use (section 10.4) is used once.
//
// The new refresh token is in the vault before the lock is let go. Where the vault cannot be
// written, because the disk is full, this run uses the new token all the same, says what is wrong,
// and tries to write again, and keeps the lock for as long: the others go on with what they have,
// rather than spend a refresh token that is no longer good.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/clock.h"
#include "core/fd.h"
#include "core/fetch.h"
#include "core/loop.h"
#include "core/result.h"
#include "core/secret.h"
#include "store/vault.h"

namespace moat {

struct TokenAnswer;

struct RefreshSettings {
  std::string title;      // "Claude", for messages
  std::string directory;  // for the lock file: $MOAT_HOME/credentials
  // As of FetchRequest.
  std::map<std::string, std::string> connect_to;
  std::string ca_file;
  std::function<const char*(const char* name)> environment;
  std::function<std::optional<std::string>(const SocketAddress&)> objection;
  // For a credential without a refresh token, which another program renews: what that has by now,
  // or Errc::busy. Blocks for a small file at most. Null: nobody does.
  std::function<Result<store::Sealed>(const store::Sealed& have)> read_source;
  // How long a second is for what waits and tries again. Tests make it short.
  Milliseconds second{1000};
};

// What the facts of a credential say about its renewal:
//   token_url      where; as check_endpoint() wants it
//   client_id      as whom
//   client_secret  "" for most: that of programs that people install is known to all
//   client_auth    "basic" where the secret goes in a header (RFC 6749 section 2.3.1)
//   token_form     "json" where the endpoint wants JSON instead of a form
//   resource       whom the token is for (RFC 8707); "" where that is not said
//   expires_at     RFC 3339; "" where it is not known, and then only a refusal makes it new
bool can_be_refreshed(const store::Sealed& credential);

class Refresher {
 public:
  // From the loop. Neither may destroy the Refresher.
  using OnToken = std::function<void(const store::Sealed& credential)>;
  using OnTrouble = std::function<void(const Error& trouble)>;

  // `credential` as the vault has it; can_be_refreshed(), or there is a source to read. `on_token`
  // is told each new access token, also those that other runs have got; `on_trouble` once what
  // keeps it from being renewed or written, until it is something else or over. The vault is read
  // and written in place, a small file each.
  Refresher(Loop& loop, Fetcher& fetcher, store::Vault& vault, const Clock& clock,
            RefreshSettings settings, store::Sealed credential, OnToken on_token,
            OnTrouble on_trouble);
  // Gives up what is under way. What could not be written yet is tried once more.
  ~Refresher();
  Refresher(const Refresher&) = delete;  // callbacks keep the address
  Refresher& operator=(const Refresher&) = delete;

  // A service has answered 401 to this token. One that is not the current one is old news; one that
  // was got a moment ago is not renewed again, for that would not help.
  void refused(std::string_view token);

  // Is an answer awaited, or one not written yet? Who ends a run waits for that, the limit of a
  // fetch at most: a service may have spent the refresh token already.
  [[nodiscard]] bool is_busy() const { return state_ == State::asking || unsaved_; }
  [[nodiscard]] const Secret& token() const { return credential_.secret; }

 private:
  enum class State { idle, locking, asking, saving };

  void schedule();
  [[nodiscard]] bool is_due() const;
  [[nodiscard]] bool follows() const;
  [[nodiscard]] Milliseconds until_due() const;
  void begin();
  void try_lock();
  void read_again();
  [[nodiscard]] Result<void> may_ask() const;
  void ask();
  void look_at_source();
  void collect(std::string_view bytes);
  void on_answer(const Result<FetchResponse>& response);
  void take(TokenAnswer answer);
  void keep(store::Sealed fresh);
  void save();
  void adopt(store::Sealed stored);
  void fail(const Error& why);
  void try_later();  // later and later
  void rest();       // lets the lock go
  void tell(const Error& trouble);
  void tell_of_vault(const Error& trouble);
  [[nodiscard]] Milliseconds seconds(int64_t count) const { return settings_.second * count; }
  Result<void> lock();
  void unlock();

  Fetcher& fetcher_;
  store::Vault& vault_;
  const Clock& clock_;
  RefreshSettings settings_;
  store::Sealed credential_;
  OnToken on_token_;
  OnTrouble on_trouble_;
  State state_ = State::idle;
  Fd lock_;
  bool locked_ = false;
  bool unsaved_ = false;      // the vault has an older one; locked
  int64_t expires_ns_ = 0;    // wall clock; 0: not known
  int64_t margin_ns_ = 0;     // how long before that it is due
  int64_t renewed_ns_ = 0;    // monotonic; when this run came by it; 0: it began with it
  bool was_refused_ = false;  // the current token, by a service
  Secret spent_;              // a refresh token that the service does not take any more
  int faults_ = 0;            // in a row
  int64_t waited_ = 0;        // tries to get the lock
  int busy_ = 0;              // tries in a row to use a vault whose key is being changed
  std::string trouble_;       // that was told last
  std::string body_;          // of the answer under way; wiped
  bool too_long_ = false;
  uint64_t fetch_ = 0;
  Timer timer_;  // what comes next, by state
};

}  // namespace moat
