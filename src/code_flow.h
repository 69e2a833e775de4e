// CodeFlow: the OAuth 2.0 authorization code grant for programs of a person's own machine (RFC 6749
// section 4.1, RFC 8252) with PKCE (RFC 7636, S256). The person says yes on a page of the
// service's, which sends the browser back here with a code, and that buys a token. Prints nothing
// and stores nothing.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/fetch.h"
#include "core/loop.h"
#include "core/result.h"
#include "core/secret.h"
#include "redirect_answer.h"
#include "redirect_listener.h"
#include "token_answer.h"

namespace moat {

struct CodeFlowSettings {
  std::string title;  // "Notion", for messages
  std::string url;    // where the person says yes; check_endpoint() has seen both
  std::string token_url;
  std::string client_id;
  std::string client_secret;  // "" for most: programs that people install have none
  bool basic = false;         // sent as RFC 6749 section 2.3.1 has it, not in the form
  bool json = false;          // the token endpoint wants JSON, and the state in it
  std::string scopes;         // "" for none
  std::string resource;       // whom the token is for (RFC 8707); "": not said
  std::string issuer;         // see RedirectExpected
  bool tells_issuer = false;
  std::vector<std::pair<std::string, std::string>> parameters;  // more of the first request
  // As of FetchRequest.
  std::map<std::string, std::string> connect_to;
  std::string ca_file;
  std::function<std::optional<std::string>(const SocketAddress&)> objection;
  Milliseconds patience{600'000};  // until the person is back
};

class CodeFlow {
 public:
  using Done = std::function<void(Result<TokenAnswer>)>;

  // Waits for the browser from now on. `done` is called once, from the loop: Errc::denied (the
  // person said no), Errc::timeout (nobody came back), Errc::refused (the service said no, or
  // another one has answered), Errc::invalid (its answer makes no sense), and what the network
  // does. It may destroy the CodeFlow; destroying it earlier cancels.
  CodeFlow(Loop& loop, Fetcher& fetcher, CodeFlowSettings settings,
           std::unique_ptr<RedirectListener> listener, Done done);
  ~CodeFlow();
  CodeFlow(const CodeFlow&) = delete;  // callbacks keep the address
  CodeFlow& operator=(const CodeFlow&) = delete;

  // Where the person is to go.
  [[nodiscard]] const std::string& address() const { return address_; }
  // What the person has brought by hand instead: see read_pasted(). An error for what is no answer,
  // which changes nothing.
  Result<void> paste(std::string_view text);

 private:
  RedirectListener::Verdict on_query(std::string_view query);
  Result<void> take(Result<Secret> code);
  void ask_for_token(const Secret& code);
  [[nodiscard]] std::string token_form(const Secret& code) const;
  [[nodiscard]] std::string token_json(const Secret& code) const;
  void collect(std::string_view bytes);
  void on_answer(const Result<FetchResponse>& response);
  void finish_soon(Error why);
  void finish(Result<TokenAnswer> result);

  Fetcher& fetcher_;
  CodeFlowSettings settings_;
  std::unique_ptr<RedirectListener> listener_;
  Done done_;
  Secret verifier_;
  RedirectExpected expected_;
  std::string address_;
  bool answered_ = false;  // a code or an error is there
  std::string body_;       // of the token endpoint's answer; wiped
  bool too_long_ = false;
  uint64_t fetch_ = 0;  // 0: none under way
  Error failure_;
  Timer failing_;  // ends it from the loop, for callers of ours are on the stack
  Timer expiry_;
};

}  // namespace moat
