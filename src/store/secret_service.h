// The Secret Service of this person's session (GNOME Keyring, KWallet, KeePassXC), by way of
// secret-tool(1). Secrets go to it on its standard input, never by its arguments, and are kept
// there in hex. It may ask the person to unlock it, and waits a minute for that.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "core/child.h"
#include "core/loop.h"
#include "core/result.h"
#include "core/secret.h"

namespace moat::store {

// The first three wait, on a loop of their own. Errc::refused where there is no such service, no
// secret-tool, or nobody has unlocked it.
Result<void> put_into_secret_service(const std::string& name, const Secret& secret);
// Errc::not_found; Errc::tampered where it is not `size` bytes in hex.
Result<Secret> get_from_secret_service(const std::string& name, size_t size);
Result<void> remove_from_secret_service(const std::string& name);

// get_from_secret_service() on a loop that serves others meanwhile.
class SecretServiceQuestion {
 public:
  using Done = std::function<void(Result<Secret>)>;
  // `done` is called once, from the loop, and may destroy the object, which gives the question up.
  SecretServiceQuestion(Loop& loop, std::string name, size_t size, Done done);
  ~SecretServiceQuestion();
  SecretServiceQuestion(const SecretServiceQuestion&) = delete;
  SecretServiceQuestion& operator=(const SecretServiceQuestion&) = delete;

 private:
  void on_answer(Result<CommandOutput> output);
  void on_search(Result<CommandOutput> output);

  Loop& loop_;
  std::string name_;
  size_t size_;
  Done done_;
  std::unique_ptr<CapturedCommand> command_;
};

}  // namespace moat::store
