// DeviceFlow: the OAuth 2.0 device authorization grant (RFC 8628). The person types a short code
// on a page of the service's, and a token comes back here. Prints nothing and stores nothing.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "core/fetch.h"
#include "core/loop.h"
#include "core/result.h"
#include "token_answer.h"

namespace moat {

struct DeviceFlowSettings {
  std::string title;  // "GitHub", for messages
  std::string device_url;
  std::string token_url;
  std::string client_id;
  std::string scopes;             // "" for none
  std::string verification_host;  // where the person may be sent; "": any
  std::map<std::string, std::string> connect_to;
  std::string ca_file;
  // How long a second of the server's is. Tests make it short.
  Milliseconds second{1000};
};

// What the person has to be told.
struct DevicePrompt {
  std::string url;   // https, printable
  std::string code;  // letters, digits and '-'
};

class DeviceFlow {
 public:
  using OnPrompt = std::function<void(const DevicePrompt&)>;
  // The token, and what it may be renewed with.
  using Done = std::function<void(Result<TokenAnswer>)>;

  // Begins at once. From the loop: `on_prompt` once, if the service gives a code, then `done` once.
  // Errors: Errc::denied (the person said no), Errc::timeout (the code expired), Errc::refused
  // (the service said no), Errc::invalid (its answer makes no sense), and what the network does
  // before there is a code. `done` may destroy the DeviceFlow; destroying it earlier cancels.
  DeviceFlow(Loop& loop, Fetcher& fetcher, DeviceFlowSettings settings, OnPrompt on_prompt,
             Done done);
  ~DeviceFlow();
  DeviceFlow(const DeviceFlow&) = delete;  // callbacks keep the address
  DeviceFlow& operator=(const DeviceFlow&) = delete;

 private:
  using OnAnswer = void (DeviceFlow::*)(Result<FetchResponse>);
  void post(const std::string& url, std::string form, OnAnswer on_answer);
  void collect(std::string_view bytes);
  void on_device_answer(Result<FetchResponse> response);
  void on_token_answer(Result<FetchResponse> response);
  void on_token_error(const std::string& code, const std::string& description,
                      int64_t asked_interval);
  void poll_in(Milliseconds delay);
  void poll_again_after_fault();
  void finish(Result<TokenAnswer> result);
  [[nodiscard]] Error no_sense(const char* what) const;

  Fetcher& fetcher_;
  DeviceFlowSettings settings_;
  OnPrompt on_prompt_;
  Done done_;
  std::string body_;    // of the answer under way; may hold a token: wiped
  uint64_t fetch_ = 0;  // 0: none under way
  std::string device_code_;
  int64_t interval_ = 0;  // seconds of the server's
  int faults_ = 0;        // of the network, in a row
  Timer poll_;
  Timer expiry_;
  Timer too_long_;  // ends it from the loop, for a fetch is not cancelled from inside its own
                    // callback
};

// The URL of an endpoint that a token or a code passes over: https, or http to this machine itself.
// Errc::invalid, naming `option`.
Result<void> check_endpoint(std::string_view url, const std::string& option);
// The host in a URL that check_endpoint() or the device flow has accepted, in lower case.
std::string host_of_url(std::string_view url);
// Could a token be this? Printable ASCII without white space, at most 8 KiB.
bool looks_like_token(std::string_view text);

}  // namespace moat
